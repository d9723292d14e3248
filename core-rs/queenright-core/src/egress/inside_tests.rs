use proptest::prelude::*;
use zeroize::Zeroizing;

use super::super::head::{Request, parse_inside};
use super::super::host::Host;
use super::Credential;

fn inside(port: u16, head: &str) -> Result<Request, &'static str> {
    let host = Host::Name("a.example".into());
    parse_inside(head.as_bytes(), &host, port).map_err(|bad| bad.reason)
}

fn credential(header: &str) -> Credential {
    Credential::new(header, Zeroizing::new(b"Bearer canary-1".to_vec()), vec![])
        .expect("one header")
}

fn sent(request: &Request, credential: &Credential) -> String {
    String::from_utf8(request.upstream_with(credential).to_vec()).expect("ASCII")
}

#[test]
fn a_request_inside_is_for_the_host_that_was_opened_and_no_other() {
    let good = |host: &str, port| {
        inside(
            port,
            &format!("GET /v1/a?q HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        )
    };
    for (host, port) in [
        ("a.example", 443),
        ("A.example:443", 443),
        ("a.example:8443", 8443),
    ] {
        let request = good(host, port).expect("for this host");
        assert!(request.tls);
        assert_eq!(
            request.resource(),
            Ok(format!("host:a.example/{port}/v1/a"))
        );
    }
    for (host, port) in [
        ("b.example", 443),
        ("a.example:80", 443),
        ("a.example", 8443),
        ("a.example\r\nHost: a.example", 443),
        ("", 443),
    ] {
        assert!(good(host, port).is_err(), "{host} {port}");
    }
}

#[test]
fn a_target_inside_is_a_path() {
    for line in [
        "GET http://a.example/v1 HTTP/1.1",
        "GET https://a.example/v1 HTTP/1.1",
        "CONNECT a.example:443 HTTP/1.1",
        "CONNECT /v1 HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET /v1/../a HTTP/1.1",
        "GET //v1 HTTP/1.1",
        "GET /v1 HTTP/1.0",
        "GET /v1",
    ] {
        let head = format!("{line}\r\nHost: a.example\r\n\r\n");
        assert!(inside(443, &head).is_err(), "{line}");
    }
}

#[test]
fn a_credential_stands_once_and_alone() {
    let request = inside(
        443,
        "GET /v1 HTTP/1.1\r\nHost: a.example\r\nX-Key: mine\r\nx_key: mine\r\nX_KEY: mine\r\nRange: bytes=0-3\r\n\
         If-Range: x\r\nAccept-Encoding: gzip\r\nAccept: */*\r\nConnection: x-key\r\n\r\n",
    )
    .expect("a request");
    assert_eq!(
        sent(&request, &credential("x-key")),
        "GET /v1 HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\naccept: */*\r\naccept-encoding: identity\r\n\
         x-key: Bearer canary-1\r\n\r\n"
    );
}

#[test]
fn a_credential_is_one_header_or_none() {
    let made = |header: &str, value: &[u8]| {
        Credential::new(header, Zeroizing::new(value.to_vec()), vec![]).is_ok()
    };
    assert!(made("authorization", b"Bearer x y"));
    for value in [
        &b""[..],
        b"a\r\nb",
        b"a\nb",
        b"a\0",
        b"\x80",
        b" a",
        b"a ",
        b"a\tb",
    ] {
        assert!(!made("authorization", value), "{value:?}");
    }
    for header in ["", "Authorization", "a:b", "a b", "a\r\n", "x_key"] {
        assert!(!made(header, b"value"), "{header}");
    }
}

#[test]
fn a_credential_is_not_shown() {
    let shown = format!("{:?}", credential("authorization"));
    assert!(!shown.contains("canary"), "{shown}");
}

proptest! {
    #[test]
    fn whatever_headers_a_command_sends_only_the_given_one_goes_on(
        names in proptest::collection::vec("[aA][-_][kK]|[a-z]{1,3}", 0..8),
        method in "GET|POST",
    ) {
        let lines: String = names.iter().map(|name| format!("{name}: mine\r\n")).collect();
        let head = format!("{method} /v1 HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n");
        if let Ok(request) = inside(443, &head) {
            let sent = sent(&request, &credential("a-k"));
            let keys: Vec<&str> = sent
                .split("\r\n")
                .filter(|line| line.replace('_', "-").starts_with("a-k:"))
                .collect();
            prop_assert_eq!(keys, ["a-k: Bearer canary-1"]);
            prop_assert!(sent.ends_with("\r\n\r\n"));
            prop_assert_eq!(sent.matches("\r\n\r\n").count(), 1);
        }
    }
}
