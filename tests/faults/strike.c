// Runs a command and strikes at one of the system calls by which its apeft processes open or change files, counted over all of them
// in the order in which they come: the call fails, its process is killed, or all processes are.
//
//     cc -O2 -o strike strike.c
//     strike N ACTION LOG COMMAND ARGUMENTS...
//
// ACTION is `count` (no strike), `kill`, `killall`, `EIO`, `ENOSPC` or `EINTR`. LOG gets a line for each call: its number, name, path, and
// a mark where it was struck. STRIKE_OPEN=TEXT has every opening of a path that contains the text fail instead, also for reading.
// The exit status is the command's, 128 + N after signal N, and 125 where tracing fails.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __x86_64__
#error "registers of other processors are not known here"
#endif

// Which argument names the file: as a descriptor, or as a path.
enum by { DESCRIPTOR, PATH };
static const struct call {
    unsigned number;
    const char *name;
    enum by by;
    int argument;
} CALLS[] = {
    {SYS_write, "write", DESCRIPTOR, 0},         {SYS_pwrite64, "pwrite64", DESCRIPTOR, 0},
    {SYS_writev, "writev", DESCRIPTOR, 0},       {SYS_fsync, "fsync", DESCRIPTOR, 0},
    {SYS_fdatasync, "fdatasync", DESCRIPTOR, 0}, {SYS_ftruncate, "ftruncate", DESCRIPTOR, 0},
    {SYS_fallocate, "fallocate", DESCRIPTOR, 0}, {SYS_flock, "flock", DESCRIPTOR, 0},
    {SYS_fchmod, "fchmod", DESCRIPTOR, 0},       {SYS_sendfile, "sendfile", DESCRIPTOR, 0},
    {SYS_open, "open", PATH, 0},                 {SYS_copy_file_range, "copy_file_range", DESCRIPTOR, 2},
    {SYS_openat, "openat", PATH, 1},             {SYS_creat, "creat", PATH, 0},
    {SYS_truncate, "truncate", PATH, 0},         {SYS_chmod, "chmod", PATH, 0},
    {SYS_fchmodat, "fchmodat", PATH, 1},         {SYS_rename, "rename", PATH, 0},
    {SYS_renameat, "renameat", PATH, 1},         {SYS_renameat2, "renameat2", PATH, 1},
    {SYS_link, "link", PATH, 0},                 {SYS_linkat, "linkat", PATH, 1},
    {SYS_symlink, "symlink", PATH, 1},           {SYS_symlinkat, "symlinkat", PATH, 2},
    {SYS_unlink, "unlink", PATH, 0},             {SYS_unlinkat, "unlinkat", PATH, 1},
    {SYS_mkdir, "mkdir", PATH, 0},               {SYS_mkdirat, "mkdirat", PATH, 1},
    {SYS_rmdir, "rmdir", PATH, 0},
};
enum { COUNT = sizeof CALLS / sizeof *CALLS, MOST_TASKS = 4096 };

static pid_t tasks[MOST_TASKS];
static int task_count;

static void fail(const char *doing) {
    perror(doing);
    exit(125);
}

// Has the kernel stop this process, and all that it starts, at the calls of the list and at no other.
static void filter_calls(void) {
    struct sock_filter program[COUNT + 3] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    for (int i = 0; i < COUNT; i++)
        program[1 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CALLS[i].number, COUNT - i, 0);
    program[COUNT + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    program[COUNT + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
    struct sock_fprog whole = {COUNT + 3, program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &whole)) fail("seccomp");
}

static void remember(pid_t task) {
    for (int i = 0; i < task_count; i++)
        if (tasks[i] == task) return;
    if (task_count < MOST_TASKS) tasks[task_count++] = task;
}

static void forget(pid_t task) {
    for (int i = 0; i < task_count; i++)
        if (tasks[i] == task) tasks[i] = tasks[--task_count];
}

static void read_link(char *path, size_t size, const char *kind, pid_t task, int number) {
    char link[64];
    snprintf(link, sizeof link, "/proc/%d/%s", task, kind);
    if (number >= 0) snprintf(link, sizeof link, "/proc/%d/%s/%d", task, kind, number);
    ssize_t length = readlink(link, path, size - 1);
    path[length < 0 ? 0 : length] = 0;
}

static void read_text(char *text, size_t size, pid_t task, unsigned long address) {
    char memory[64];
    snprintf(memory, sizeof memory, "/proc/%d/mem", task);
    int file = open(memory, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : pread(file, text, size - 1, (off_t)address);
    text[length < 0 ? 0 : length] = 0;
    if (file >= 0) close(file);
}

static int is_ours(pid_t task) {
    char program[PATH_MAX];
    read_link(program, sizeof program, "exe", task, -1);
    char *name = strrchr(program, '/');
    return name && !strncmp(name + 1, "apeft", 5);
}

static unsigned long argument(const struct user_regs_struct *registers, int index) {
    unsigned long values[] = {registers->rdi, registers->rsi, registers->rdx, registers->r10};
    return values[index];
}

static int opens(const struct call *call) { return call->number == SYS_open || call->number == SYS_openat; }

// Whether a call only opens a file of the system: of its libraries, its processes or its devices.
static int is_of_system(const struct call *call, const struct user_regs_struct *registers, const char *path) {
    if (!opens(call)) return 0;
    unsigned long flags = argument(registers, call->argument + 1);
    if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) return 0;
    static const char *const FOLDERS[] = {"/lib", "/usr/", "/etc/", "/proc", "/sys/", "/dev/"};
    for (size_t i = 0; i < sizeof FOLDERS / sizeof *FOLDERS; i++)
        if (!strncmp(path, FOLDERS[i], strlen(FOLDERS[i]))) return 1;
    return 0;
}

static struct {
    long at, seen;
    const char *action, *open;
    int error;
    FILE *log;
} plan;

static void strike(pid_t task, struct user_regs_struct *registers) {
    if (plan.error) {
        registers->orig_rax = -1;  // no call is made, and this is what it returns:
        registers->rax = -plan.error;
        ptrace(PTRACE_SETREGS, task, 0, registers);
    } else if (!strcmp(plan.action, "kill")) {
        kill(task, SIGKILL);
    } else if (!strcmp(plan.action, "killall")) {
        for (int i = 0; i < task_count; i++) kill(tasks[i], SIGKILL);
    }
}

static void look_at_call(pid_t task) {
    struct user_regs_struct registers;
    if (!is_ours(task) || ptrace(PTRACE_GETREGS, task, 0, &registers)) return;
    const struct call *call = CALLS;
    while (call < CALLS + COUNT && call->number != registers.orig_rax) call++;
    if (call == CALLS + COUNT) return;
    char path[PATH_MAX];
    unsigned long value = argument(&registers, call->argument);
    if (call->by == DESCRIPTOR && value == STDERR_FILENO) return;  // words for people, or a log
    if (call->by == PATH) read_text(path, sizeof path, task, value);
    else read_link(path, sizeof path, "fd", task, (int)value);
    if (!strncmp(path, "anon_inode:", 11)) return;  // wakes a thread, and is no file
    if (!plan.open && is_of_system(call, &registers, path)) return;
    int struck = plan.open ? opens(call) && strstr(path, plan.open) != NULL : ++plan.seen == plan.at;
    if (!plan.open || struck)
        fprintf(plan.log, "%ld %s %s%s\n", plan.seen, call->name, path, struck ? " <- struck" : "");
    if (struck) strike(task, &registers);
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "usage: strike N ACTION LOG COMMAND ARGUMENTS...\n");
        return 125;
    }
    plan.at = atol(argv[1]);
    plan.action = argv[2];
    plan.open = getenv("STRIKE_OPEN");
    static const struct {
        const char *name;
        int error;
    } ERRORS[] = {{"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EINTR", EINTR}};
    for (size_t i = 0; i < sizeof ERRORS / sizeof *ERRORS; i++)
        if (!strcmp(plan.action, ERRORS[i].name)) plan.error = ERRORS[i].error;
    if (!(plan.log = fopen(argv[3], "we"))) fail(argv[3]);
    pid_t child = fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0)) fail("ptrace");
        raise(SIGSTOP);
        filter_calls();
        execvp(argv[4], argv + 4);
        fail(argv[4]);
    }
    int status, code = 125;
    long options = PTRACE_O_EXITKILL | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK
                   | PTRACE_O_TRACECLONE;
    if (child < 0 || waitpid(child, &status, 0) != child || ptrace(PTRACE_SETOPTIONS, child, 0, options)) fail("ptrace");
    remember(child);
    ptrace(PTRACE_CONT, child, 0, 0);
    pid_t task;
    while ((task = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
        if (task <= 0) continue;
        if (!WIFSTOPPED(status)) {
            if (task == child) code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            forget(task);
            continue;
        }
        remember(task);
        int event = status >> 16, signal_number = WSTOPSIG(status);
        if (event == PTRACE_EVENT_SECCOMP) look_at_call(task);
        // A new task begins with a stop; everything else is for the task itself.
        ptrace(PTRACE_CONT, task, 0, event || signal_number == SIGSTOP ? 0 : signal_number);
    }
    fclose(plan.log);
    return code;
}
