//! URLs of endpoints: their form, and the URL of a call.

/// Words in the names of query fields that carry secrets.
const SECRETS: [&str; 5] = ["key", "token", "secret", "password", "signature"];

/// Why a text is no base URL, and the fix. Never repeats a part that may be a secret.
pub(super) fn problem(url: &str) -> Option<(String, &'static str)> {
    let expected = "a base URL is expected, such as \"http://127.0.0.1:8080/v1\"";
    let Some((scheme, rest)) = url.split_once("://") else {
        return Some(("`url` has no scheme".to_owned(), expected));
    };
    if !["http", "https"].contains(&scheme) {
        return Some((format!("`url` has the scheme `{scheme}`"), "http or https is expected"));
    }
    let (base, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, path) = base.split_once('/').unwrap_or((base, ""));
    if host.contains('@') {
        let right = "the key belongs into an environment variable that `api_key_env` names";
        return Some(("`url` has a user or password".to_owned(), right));
    }
    let mut names = query.split('&').map(|field| field.split('=').next().unwrap_or_default());
    if names.any(|name| SECRETS.iter().any(|word| name.to_lowercase().contains(word))) {
        let right = "the key belongs into an environment variable that `api_key_env` names";
        return Some(("`url` has a key in its query".to_owned(), right));
    }
    if let Err(problem) = check_host(host) {
        return Some((format!("`url` {problem}"), expected));
    }
    let is_plain = |letter: char| letter.is_ascii_graphic() && !"\"<>\\^`{|}#".contains(letter);
    if !path.chars().chain(query.chars()).all(is_plain) {
        return Some(("`url` has letters that no URL has".to_owned(), expected));
    }
    // The client appends the path of a call, which would then stand in the URL twice.
    let path = path.trim_end_matches('/');
    let call = ["chat/completions", "completions"].into_iter().find(|call| path.ends_with(call));
    call.map(|call| {
        let right = "the base URL without it is expected; `api` selects the path";
        (format!("`url` ends in the path of a call, `/{call}`"), right)
    })
}

fn check_host(host: &str) -> Result<(), &'static str> {
    // An IPv6 address has colons of its own, in brackets.
    let (name, port) = match host.strip_prefix('[').map(|inner| inner.split_once(']')) {
        Some(None) => return Err("has an address without its closing bracket"),
        Some(Some((address, port))) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return Err("has an invalid address in brackets");
            }
            ("address", port.strip_prefix(':').or(port.is_empty().then_some("80")))
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, Some("80")),
        },
    };
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
    if name.is_empty() || !name.chars().all(is_name) {
        return Err("has no valid host");
    }
    match port.map(str::parse::<u16>) {
        Some(Ok(1..)) => Ok(()),
        _ => Err("has an invalid port"),
    }
}

/// The URL of a call: the path before the query of the base.
pub(super) fn of_call(base: &str, path: &str) -> String {
    let (base, query) =
        base.split_once('?').map_or((base, None), |(base, query)| (base, Some(query)));
    let url = format!("{}/{path}", base.trim_end_matches('/'));
    query.map_or(url.clone(), |query| format!("{url}?{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_told_from_others() {
        for right in [
            "http://127.0.0.1:8080/v1",
            "https://api.openai.com/v1/",
            "http://[::1]:8000",
            "http://localhost",
            "https://x.example/deployments/a?api-version=2024-10-21",
        ] {
            assert_eq!(problem(right), None, "{right}");
        }
        for (wrong, word) in [
            ("", "scheme"),
            ("localhost:8080/v1", "scheme"),
            ("ftp://x/v1", "`ftp`"),
            ("http://", "host"),
            ("http://a b/v1", "host"),
            ("http://:80/v1", "host"),
            ("http://x:0/v1", "port"),
            ("http://x:65536/v1", "port"),
            ("http://x:/v1", "port"),
            ("http://[::1/v1", "bracket"),
            ("http://[::x]/v1", "brackets"),
            ("http://x/v 1", "letters"),
            ("http://x/v1#y", "letters"),
            ("https://x/v1/chat/completions", "`/chat/completions`"),
            ("https://x/v1/completions/", "`/completions`"),
            ("https://user:hidden1@x/v1", "password"),
            ("https://x/v1?API_KEY=hidden1", "key in its query"),
        ] {
            let (said, right) = problem(wrong).unwrap_or_else(|| panic!("{wrong} passes"));
            assert!(said.contains(word), "{wrong}: {said}");
            assert!(!said.contains("hidden1") && !right.contains("hidden1"), "{said}");
        }
    }

    #[test]
    fn the_path_of_a_call_stands_before_the_query() {
        assert_eq!(of_call("http://x/v1/", "chat/completions"), "http://x/v1/chat/completions");
        assert_eq!(of_call("http://x", "completions"), "http://x/completions");
        assert_eq!(
            of_call("http://x/v1?a=b", "chat/completions"),
            "http://x/v1/chat/completions?a=b"
        );
    }
}
