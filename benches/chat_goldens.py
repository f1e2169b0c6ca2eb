"""Writes the golden files of chat templates: what transformers makes of messages.

Usage: python chat_goldens.py OUT_FOLDER

Each file holds a template, special tokens and cases; a case is a conversation with either the text that
`apply_chat_template(..., tokenize=False)` returns (`expected`) or the words of the template's `raise_exception`
(`raises`). `features.json` is a list of such objects with small templates, one for each way of Jinja that chat
templates rely on. Nothing here depends on time, network or chance. Made with transformers 5.23 and Jinja2 3.1.6.
"""

import json
import sys
from pathlib import Path

from jinja2.exceptions import TemplateError
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

# Llama 3 Instruct.
LLAMA_3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim"
    " + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)

# Llama 3.1 Instruct; the date is the template's own where none is given.
LLAMA_3_1 = r"""{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools_in_user_message is defined %}
    {%- set tools_in_user_message = true %}
{%- endif %}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- This block extracts the system message, so we can slot it into the right place. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}

{#- System message + builtin tools #}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{%- if builtin_tools is defined or tools is not none %}
    {{- "Environment: ipython\n" }}
{%- endif %}
{%- if builtin_tools is defined %}
    {{- "Tools: " + builtin_tools | reject('equalto', 'code_interpreter') | join(", ") + "\n\n"}}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\n" }}
{{- "Today Date: " + date_string + "\n\n" }}
{%- if tools is not none and not tools_in_user_message %}
    {{- "You have access to the following functions. To call a function, please respond with JSON for a function call." }}
    {{- 'Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.' }}
    {{- "Do not use variables.\n\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\n\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}

{#- Custom tools are passed in a user message with some extra guidance #}
{%- if tools_in_user_message and not tools is none %}
    {#- Extract the first user message so we can plug it in here #}
    {%- if messages | length != 0 %}
        {%- set first_user_message = messages[0]['content']|trim %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("Cannot put tools in the first user message when there's no first user message!") }}
{%- endif %}
    {{- '<|start_header_id|>user<|end_header_id|>\n\n' -}}
    {{- "Given the following functions, please respond with a JSON for a function call " }}
    {{- "with its proper arguments that best answers the given prompt.\n\n" }}
    {{- 'Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.' }}
    {{- "Do not use variables.\n\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\n\n" }}
    {%- endfor %}
    {{- first_user_message + "<|eot_id|>"}}
{%- endif %}

{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {%- if builtin_tools is defined and tool_call.name in builtin_tools %}
            {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}
            {{- "<|python_tag|>" + tool_call.name + ".call(" }}
            {%- for arg_name, arg_val in tool_call.arguments | items %}
                {{- arg_name + '="' + arg_val + '"' }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- endif %}
                {%- endfor %}
            {{- ")" }}
        {%- else  %}
            {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}
            {{- '{"name": "' + tool_call.name + '", ' }}
            {{- '"parameters": ' }}
            {{- tool_call.arguments | tojson }}
            {{- "}" }}
        {%- endif %}
        {%- if builtin_tools is defined %}
            {#- This means we're in ipython mode #}
            {{- "<|eom_id|>" }}
        {%- else %}
            {{- "<|eot_id|>" }}
        {%- endif %}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\n\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
"""

# Qwen2.5 Instruct.
QWEN_2_5 = r"""{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are Qwen, created by Alibaba Cloud. You are a helpful assistant.' }}
    {%- endif %}
    {{- "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>" }}
    {%- for tool in tools %}
        {{- "\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\n</tools>\n\nFor each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call><|im_end|>\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}
    {%- else %}
        {{- '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\n' + message.content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\n<tool_call>\n{"name": "' }}
            {{- tool_call.name }}
            {{- '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}
            {{- '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\n<tool_response>\n' }}
        {{- message.content }}
        {{- '\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
"""

# Mistral 7B Instruct v0.1.
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token + ' ' }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)

# Mistral 7B Instruct v0.3, without the branches for tools, which no message here can reach.
MISTRAL_3 = r"""{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}

{#- This block checks for alternating user/assistant messages, skipping tool calling messages #}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, conversation roles must alternate user/assistant/user/assistant/...") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}

{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] " + tools | tojson + "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\n\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported, with the exception of an initial optional system message!") }}
    {%- endif %}
{%- endfor %}
"""

# Zephyr 7B beta.
ZEPHYR = (
    "{% for message in messages %}\n{% if message['role'] == 'user' %}\n"
    "{{ '<|user|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'system' %}\n"
    "{{ '<|system|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'assistant' %}\n"
    "{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}"
)

MODELS = {
    "llama3": (LLAMA_3, {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}),
    "llama3.1": (LLAMA_3_1, {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}),
    "qwen2.5": (QWEN_2_5, {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}),
    "mistral": (MISTRAL, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}),
    "mistral-v0.3": (MISTRAL_3, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}),
    "zephyr": (ZEPHYR, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"}),
}


def conversation(*contents, system=None):
    """Turns of user and assistant, after what the system says."""
    messages = [] if system is None else [{"role": "system", "content": system}]
    roles = ("user", "assistant")
    return messages + [{"role": roles[turn % 2], "content": content} for turn, content in enumerate(contents)]


CONVERSATIONS = [
    conversation("Who was the first person on the moon?"),
    conversation("Who was it?", "Neil Armstrong.", "When?"),
    conversation("Who was it?", "Neil Armstrong."),
    conversation("Who was it?", system="Answer with a name."),
    conversation("Who was it?", "Neil Armstrong.", "When?", "In 1969.", "Where?", system="Be brief."),
    conversation("  hi \n", "\n\thello  \n\n", " \n"),
    conversation("", "", "", system=""),
    conversation("Où est né Erdős Pál? 埃尔德什 🎲 e\u0301", "Budapest\u00a0– „Ungarn“\u2028"),
    conversation("{{ x }} {% if y %} {# z #}", "{{ messages[0] }} %} }}", "'\"\\n\\", system="{% raise %}"),
    conversation("a < b & c > \"d\"", "<|im_end|></s><|eot_id|>[/INST]", "line\r\nline\rline"),
    [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}],
    [{"role": "assistant", "content": "I begin."}, {"role": "user", "content": "Go on."}],
    [{"role": "tool", "content": "42"}, {"role": "user", "content": "So?"}],
    [{"role": "user", "content": "one"}, {"role": "system", "content": "late"}, {"role": "user", "content": "two"}],
    conversation("late?", system="first") + [{"role": "system", "content": "second"}],
]

FEATURES = {
    "json of what is nested": "{{ {'b': [1, 2.5, none, true, {'c': []}], 'a': messages[0]} | tojson }}",
    "json indented": "{{ {'b': [1, {'c': {}, 'd': []}], 'é': messages} | tojson(indent=4) }}"
    "|{{ [1, 2] | tojson(indent=0) }}",
    "json in ascii": "{{ messages | tojson(ensure_ascii=true) }}{{ '\u007f\u0001\\b\\f/<>&' | tojson(true) }}",
    "json with sorted keys": "{{ messages | tojson(sort_keys=true, separators=(',', ':')) }}",
    "json by place": "{{ messages[0] | tojson(false, 2, none, true) }}{{ messages | tojson(indent='\\t') }}",
    "json numbers": "{{ [0.1, 1e-7, 1e16, 123456789.0, 1e22, 12345678901234567890, -3] | tojson }}",
    "json keys": "{{ {1: 'a', none: 'b', 1.5: 'c', 'd': true} | tojson }}",
    "loop": "{% for m in messages %}{{ loop.index }}/{{ loop.index0 }}/{{ loop.length }}/{{ loop.revindex }}"
    "{{ ' first' if loop.first }}{{ ' last' if loop.last }} {{ loop.previtem.role if loop.previtem is defined }}>"
    "{{ loop.nextitem.role if loop.nextitem is defined else 'end' }} {{ loop.cycle('x', 'y') }};{% endfor %}",
    "loop with a condition": "{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ m.content }}"
    "{% else %}none{% endfor %}",
    "loop over nothing": "{% for m in nothing %}{{ m }}{% else %}none{% endfor %}",
    "loop scope": "{% set x = 1 %}{% for m in messages %}{% set x = 2 %}{{ x }}{% endfor %}{{ x }}"
    "{% if true %}{% set x = 3 %}{% endif %}{{ x }}",
    "break and continue": "{% for m in messages %}{% if loop.index0 == 0 %}{% continue %}{% endif %}"
    "{% if loop.index0 == 3 %}{% break %}{% endif %}{{ m.role }},{% endfor %}",
    "recursive loop": "{% for m in [1, [2, [3]]] recursive %}{{ m if m is number else loop(m) }}{% endfor %}",
    "unpacking": "{% for k, v in messages[0].items() %}{{ k }}={{ v }};{% endfor %}{% set a, b = 1, 2 %}{{ b }}{{ a }}",
    "namespace": "{% set ns = namespace(count=0, last='') %}{% for m in messages %}{% set ns.count = ns.count + 1 %}"
    "{% set ns.last = m.role %}{% endfor %}{{ ns.count }} {{ ns.last }} {{ ns.other is defined }}",
    "space removed": "  {%- if true -%}  a  {%- endif -%}  b {{- ' c ' -}} \n d {#- e -#} \n f",
    "space of blocks": "a\n  {% if true %}  \n  b\n  {% endif %}\nc\n  {# d #}\ne\n  {%+ if true +%}\nf{% endif %}\n\n",
    "lines end": "a\r\nb\rc{% if true %}\r\nd{% endif %}\n",
    "slices": "{{ messages[1:] | length }}{{ messages[1:][0].role }}{{ messages[-1].role }}{{ messages[:-1] | length }}"
    "{{ messages[::-1][0].content }}{{ 'abcdef'[1:-1] }}{{ 'abcdef'[::-1] }}{{ 'abcdef'[::2] }}{{ 'é日x'[1] }}"
    "{{ [][::-1] }}{{ messages[9:] }}{{ 'y' if messages[9:] else 'n' }}",
    "lists joined": "{% set all = [{'role': 'x'}] + messages[1:] %}{{ all | length }}{{ all[0].role }}"
    "{{ all[-1].role }}",
    "text cut": "[{{ '  a \n'.strip() }}][{{ ' a '.lstrip() }}][{{ ' a '.rstrip() }}][{{ 'xyaxy'.strip('yx') }}]"
    "[{{ '\u00a0a\u2003'.strip() }}][{{ '\u001ca\u200b'.strip() }}][{{ 'pre-x'.removeprefix('pre-') }}]"
    "[{{ 'x.txt'.removesuffix('.txt') }}]",
    "text split": "{{ 'a b  c'.split() }}{{ 'a b  c'.split(' ') }}{{ 'a,b,c'.split(',', 1)[-1] }}"
    "{{ 'a,b,c'.rsplit(',', 1) }}"
    "{{ ' a  b c '.split(maxsplit=1) }}{{ 'a\nb\r\nc\n'.splitlines() }}{{ 'k=v=w'.partition('=')[2] }}"
    "{{ 'k=v=w'.rpartition('=')[0] }}{{ '</think>x'.split('</think>')[-1] }}",
    "text asked": "{{ 'abc'.startswith('a') }}{{ 'abc'.startswith(('x', 'ab')) }}{{ 'abc'.endswith('x') }}"
    "{{ 'a' in 'abc' }}"
    "{{ 'é日x'.find('x') }}{{ 'abcab'.rfind('ab') }}{{ 'abc'.find('z') }}{{ 'aXbX'.count('X') }}{{ ''.isdigit() }}"
    "{{ '12'.isdigit() }}{{ 'a b'.islower() }}{{ ' '.isspace() }}",
    "text changed": "{{ 'aba'.replace('a', 'x') }}{{ 'aba'.replace('a', 'x', 1) }}{{ 'straße'.upper() }}"
    "{{ 'ÀB'.lower() }}"
    "{{ \"it's 3d o_k\".title() }}{{ 'heLLO wORLD'.capitalize() }}{{ '-'.join(['a', 'b']) }}"
    "{{ '{}: {}'.format('a', 1) }}"
    "{{ 'ab' * 3 }}{{ 'a' ~ 1 ~ none }}{{ 'a' 'b' }}{{ '\\u00e9\\x41\\t' }}",
    "filters": "[{{ ' a ' | trim }}][{{ 'xax' | trim('x') }}]{{ messages | length }}{{ ['a', 1] | join(', ') }}"
    "{{ messages | join('+', attribute='role') }}{{ \"it's o-k (a)\" | title }}{{ 'a' | upper }}"
    "{{ 'aba' | replace('a', 'x') }}"
    "{{ nothing | default('d') }}{{ '' | default('d', true) }}{{ nothing | length }}"
    "{{ messages | map(attribute='role') | list }}"
    "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ [3, 1] | sort | first }}"
    "{{ 'ab' | list | last }}"
    "{{ messages | rejectattr('role', 'in', ['user']) | map(attribute='content') | join }}"
    "{{ [1, 1, 2] | unique | list }}"
    "{{ 'a\nb\n\nc' | indent(2) }}{{ '3' | int + 1 }}{{ 2.6 | round | int }}{{ [1, 2] | sum }}"
    "{% for k, v in {'b': 1, 'a': 2} | dictsort %}{{ k }}{{ v }}{% endfor %}",
    "conditions": "{{ 'a' if messages else 'b' }}{{ 'a' if not messages }}{{ 1 < 2 < 3 }}{{ not 'a' in ['a'] }}"
    "{{ (1 == 1) != (2 % 2 == 0) }}{{ '' or 'x' }}{{ 'x' and messages[0].role }}{{ none == false }}"
    "{{ 'z' not in 'abc' }}"
    "{{ messages[0] == messages[0] }}{{ 'role' in messages[0] }}{{ 'a' in nothing }}",
    "tests": "{{ nothing is defined }}{{ nothing is not defined }}{{ none is none }}{{ messages[0] is mapping }}"
    "{{ messages[0].content is string }}{{ messages is sequence }}{{ 'a' is sequence }}{{ 'a' is iterable }}"
    "{{ none is iterable }}{{ messages is iterable }}{{ messages is mapping }}{{ 1 is number }}{{ true is boolean }}"
    "{{ 2 is even }}{{ 4 is divisibleby 2 }}{{ 'a' is in ['a'] }}{{ 1.5 is float }}{{ 3 is integer }}"
    "{{ messages[1:] is sequence }}",
    "what is passed": "{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}{{ bos_token }}"
    "{{ eos_token }}"
    "{{ pad_token }}{{ unk_token is defined }}{{ image_token }}{{ strftime_now is defined }}{{ debug is defined }}",
    "python's repr": "{{ messages[0] }}{{ [true, none, 1.0, \"it's\", 'q\"', 'a\\n\\t\\\\\\u200b\\x07é'] }}{{ {} }}"
    "{{ [] }}{{ nothing }}"
    "{{ 1e16 }} {{ 1e-5 }} {{ 0.1 + 0.2 }} {{ 4 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** 3 }}",
    "what is missing": "{{ messages[0].nothing }}|{{ messages[0]['nothing'] }}"
    "|{{ messages[0].get('nothing', 'd') }}|{{ messages[99] }}|",
    "macros": "{% macro show(m, mark='*') -%}{{ mark }}{{ m.role }}{{ bos_token }}{{ loop is defined }}{%- endmacro %}"
    "{% for m in messages %}{{ show(m) }}{{ show(m, mark='+') | upper }}{% endfor %}"
    "{% macro twice() %}{{ caller() }}{{ caller() }}{% endmacro %}{% call twice() %}x{% endcall %}"
    "{% macro down(n) %}{{ n }}{{ down(n - 1) if n }}{% endmacro %}{{ down(2) }}",
    "blocks": "{% set x %} {{ bos_token }} {% endset %}[{{ x | trim }}]{% filter upper %}a{{ x }}{% endfilter %}"
    "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{% raw %}{{ x }}{% endraw %}",
    "generation": "{% for m in messages %}\n{%- if m.role == 'assistant' %}\n"
    "  {% generation %}\n{{ m.content + eos_token }}\n"
    "  {%- set inner = 1 -%}  {% endgeneration %}\n{{ inner is defined }}{{ loop.index }}\n{% else %}\n"
    "{{ m.content }}{%- generation -%}  x  {%- endgeneration -%}\n{% endif %}\n{% endfor %}",
    "raise": "{% if messages | length > 2 %}"
    "{{ raise_exception('Too many: ' ~ messages | length ~ \" 'messages' é\") }}{% endif %}",
    "raise in a macro": "{% macro check(m) %}{% if m.role == 'assistant' %}{{ raise_exception('No assistants.') }}"
    "{% endif %}"
    "{% endmacro %}{% for m in messages %}{{ check(m) }}{% endfor %}fine",
}
FEATURE_TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "image_token": "<image>"}
FEATURE_CONVERSATIONS = [
    conversation("Grüße, 日本 \"q\" 's' \\ </s>\n🎲", "ja"),
    conversation("  one \n", "two", "three", "four", system="{{ be brief }}"),
]


def golden(template, special_tokens, cases):
    """The object of one template, with what transformers makes of each conversation."""
    vocabulary = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=vocabulary, chat_template=template, **special_tokens)
    rendered = []
    for messages, add_generation_prompt in cases:
        case = {"messages": messages, "add_generation_prompt": add_generation_prompt}
        try:
            case["expected"] = tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=add_generation_prompt
            )
        except TemplateError as error:
            # Only `raise_exception` gives this class itself; all other failures are subclasses.
            if type(error) is not TemplateError:
                raise
            case["raises"] = str(error)
        rendered.append(case)
    return {"template": template, "special_tokens": special_tokens, "cases": rendered}


def main(folder):
    """Writes all files."""
    folder.mkdir(parents=True, exist_ok=True)

    def write(name, content):
        text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
        (folder / f"{name}.json").write_text(text, encoding="utf-8", newline="\n")

    cases = [(messages, prompt) for messages in CONVERSATIONS for prompt in (False, True)]
    for name, (template, special_tokens) in MODELS.items():
        write(name, golden(template, special_tokens, cases))
    cases = [(messages, True) for messages in FEATURE_CONVERSATIONS]
    features = [{"name": name, **golden(template, FEATURE_TOKENS, cases)} for name, template in FEATURES.items()]
    write("features", features)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
