use core::net::IpAddr;

use proptest::prelude::*;

use super::address::{resource, special};
use super::chunks::{Chunks, END, frame};
use super::head::{Body, Method, Request, end, parse};
use super::host::{Host, authority};
use super::path;
use super::reply::{self, Follows};

fn read(text: &str) -> Result<Request, super::Bad> {
    match end(text.as_bytes())? {
        Some(at) => parse(&text.as_bytes()[..at]),
        None => panic!("{text:?} does not end"),
    }
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n")
}

#[test]
fn a_request_is_sent_on_as_it_was_checked() {
    let text = "POST http://A.example:8080/a/b?c=/d HTTP/1.1\r\nHost: a.example:8080\r\nContent-Length: 3\r\n\
                Proxy-Authorization: x\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nX-Yours: 2\r\n\r\n";
    let request = read(text).unwrap();
    assert_eq!(request.resource().unwrap(), "host:a.example/8080/a/b");
    assert_eq!(request.body, Body::Length(3));
    let sent = String::from_utf8(request.upstream()).unwrap();
    assert_eq!(
        sent,
        "POST /a/b?c=/d HTTP/1.1\r\nhost: a.example:8080\r\nconnection: close\r\nx-yours: 2\r\ncontent-length: 3\r\n\r\n"
    );
}

#[test]
fn a_tunnel_names_host_and_port() {
    let request = read("CONNECT pypi.org:443 HTTP/1.1\r\nHost: pypi.org:443\r\n\r\n").unwrap();
    assert_eq!(
        (request.method, request.resource().unwrap().as_str()),
        (Method::Connect, "host:pypi.org/443")
    );
    assert!(read("CONNECT pypi.org:443 HTTP/1.0\r\n\r\n").is_ok());
    for wrong in [
        "pypi.org",
        "pypi.org:0",
        "pypi.org:70000",
        "pypi.org:443/x",
        "pypi.org:0443",
        "user@pypi.org:443",
    ] {
        assert!(
            read(&format!(
                "CONNECT {wrong} HTTP/1.1\r\nHost: {wrong}\r\n\r\n"
            ))
            .is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn a_host_has_one_spelling() {
    for (text, same) in [
        ("A.Example", "a.example"),
        ("xn--bcher-kva.de", "xn--bcher-kva.de"),
        ("10.0.0.1", "10.0.0.1"),
        ("[::1]", "[::1]"),
    ] {
        assert_eq!(Host::parse(text).unwrap().to_string(), same);
    }
    for wrong in [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "-a.b",
        "a-.b",
        "evil\0.google.com",
        "a b",
        "a\tb",
        "a%2eb",
        "b\u{fc}cher.de",
        "0x7f.1",
        "0x7f000001",
        "127.1",
        "2130706433",
        "017700000001",
        "127.0.0.01",
        "127.0.0.1.",
        "1.2.3.4.5",
        "a.0x1",
        "[fe80::1%25eth0]",
        "[fe80::1%eth0]",
        "[::1",
        "::1",
        "[::1]x",
        "user@a",
        "a@b",
        "a\\b",
        "a#b",
        "ab--c.de",
        &"a".repeat(64),
    ] {
        assert!(Host::parse(wrong).is_err(), "{wrong:?}");
    }
    assert_eq!(
        authority("[::1]:80", None).unwrap(),
        (Host::parse("[::1]").unwrap(), 80)
    );
    assert_eq!(
        Host::parse("[2001:db8::1]").unwrap().segment(),
        "2001~3adb8~3a~3a1"
    );
}

#[test]
fn a_path_that_servers_read_differently_is_refused() {
    for wrong in [
        "a",
        "/../x",
        "/a/..",
        "/./a",
        "/a//b",
        "//a",
        "/%2e%2e/x",
        "/%2E/x",
        "/a%2fb",
        "/a%5cb",
        "/a\\b",
        "/a%00b",
        "/%41",
        "/a%",
        "/a%4",
        "/a%zz",
        "/a%25b",
        "/..;/x",
        "/.;a/x",
        "/;x",
        "/a b",
        "/a#b",
        "/a\"b",
        "/a?b#c",
        "/a?b\\c",
    ] {
        assert!(path::read(wrong).is_err(), "{wrong:?}");
    }
    let read = |text: &str| path::read(text).unwrap().segments.join("/");
    assert_eq!(read("/a/b.c-d_e@f+g=h"), "a/b.c-d_e@f+g=h");
    assert_eq!(read("/~me/a:b"), "~7eme/a~3ab");
    assert_eq!(read("/a%20b"), "a~20b");
    assert_eq!(read("/a/"), read("/a"));
    assert_eq!(read("/a?../b"), "a");
}

#[test]
fn what_could_end_in_two_places_is_refused() {
    let with = |headers: &str| {
        read(&format!(
            "POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\n{headers}\r\n"
        ))
    };
    for wrong in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 3\r\nContent-Length: 3\r\n",
        "Content-Length: 3, 3\r\n",
        "Content-Length: +3\r\n",
        "Content-Length: 0x3\r\n",
        "Content-Length: \r\n",
        "Content-Length: 3 4\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "X: a\r\n folded\r\n",
        "X: a\r\n\tfolded\r\n",
        " X: a\r\n",
        "X\r\n",
        ": a\r\n",
        "X: a\0b\r\n",
        "X: \u{fc}\r\n",
        "Host: a.example\r\n",
        "Upgrade: websocket\r\n",
        "Expect: x\r\n",
        "Content-Type: a\r\nContent-Type: b\r\n",
    ] {
        assert!(with(wrong).is_err(), "{wrong:?}");
    }
    assert_eq!(
        with("Transfer-Encoding: Chunked\r\n").unwrap().body,
        Body::Chunked
    );
    for wrong in [
        "GET http://a.example/ HTTP/1.1\nHost: a.example\n\n",
        "GET http://a.example/ HTTP/1.1\r\nHost: a.example\rX: y\r\n\r\n",
    ] {
        assert!(end(wrong.as_bytes()).is_err(), "{wrong:?}");
    }
    assert!(
        read("GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\n")
            .is_err()
    );
    assert!(end(&[b'a'; 32 * 1024]).is_err());
}

#[test]
fn the_target_and_the_host_header_are_one() {
    assert!(read(&get("http://a.example/")).is_ok());
    for wrong in [
        "/",
        "*",
        "a.example/",
        "https://a.example/",
        "http://b.example/",
        "http://a.example:81/",
        "http://x@a.example/",
        "http:///x",
        "HTTP://a.example/",
        "http://a.example /",
        "ftp://a.example/",
    ] {
        assert!(read(&get(wrong)).is_err(), "{wrong}");
    }
    assert!(read("GET http://a.example/ HTTP/1.1\r\n\r\n").is_err());
    for line in [
        "TRACE http://a.example/ HTTP/1.1",
        "get http://a.example/ HTTP/1.1",
        "PRI * HTTP/2.0",
        "GET http://a.example/ HTTP/1.0",
        "GET  http://a.example/ HTTP/1.1",
        "GET http://a.example/",
    ] {
        assert!(
            read(&format!("{line}\r\nHost: a.example\r\n\r\n")).is_err(),
            "{line}"
        );
    }
}

#[test]
fn only_the_public_network_is_not_special() {
    for text in [
        "93.184.216.34",
        "8.8.8.8",
        "2606:4700::1111",
        "2a00:1450::1",
    ] {
        assert_eq!(special(text.parse().unwrap()), None, "{text}");
    }
    for text in [
        "0.0.0.0",
        "127.0.0.1",
        "127.255.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:8.8.8.8",
        "::8.8.8.8",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "2002:a00:1::",
        "2001::1",
        "fd00:ec2::254",
        "fc00::1",
        "fe80::1",
        "ff02::1",
        "fec0::1",
        "2001:db8::1",
        "100::1",
        "5f00::1",
    ] {
        assert!(special(text.parse().unwrap()).is_some(), "{text}");
    }
    let name = |text: &str| resource(text.parse::<IpAddr>().unwrap());
    assert_eq!(name("10.0.0.7"), "addr:10/0/0/7");
    assert_eq!(name("fd00:ec2::254"), "addr6:fd00/ec2/0/0/0/0/0/254");
}

#[test]
fn an_answer_ends_where_it_says() {
    let parse = |text: &str, head| reply::parse(text.as_bytes(), head);
    let reply = parse(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n",
        false,
    )
    .unwrap();
    assert_eq!((reply.status, reply.follows), (200, Follows::Length(5)));
    assert_eq!(
        reply.head,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(
        parse("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", false)
            .unwrap()
            .follows,
        Follows::Chunked
    );
    assert_eq!(
        parse("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true)
            .unwrap()
            .follows,
        Follows::Nothing
    );
    for wrong in [
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX y\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\nX: y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: y\rZ: w\r\n\r\n",
    ] {
        assert!(parse(wrong, false).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_bad_chunk_is_refused() {
    for wrong in [
        "\r\n",
        "g\r\n",
        "3;a=b\r\nabc\r\n",
        "3\nabc\r\n",
        "3\r\nabcd\r\n",
        "0\r\nX: y\r\n\r\n",
        "ffffffff\r\n",
        " 3\r\n",
        "-1\r\n",
        "0x3\r\n",
        "3\r\nabc\n",
    ] {
        assert!(
            Chunks::default()
                .feed(wrong.as_bytes(), &mut Vec::new())
                .is_err(),
            "{wrong:?}"
        );
    }
}

proptest! {
    #[test]
    fn a_chunked_body_is_the_same_however_it_arrives(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..8), step in 1usize..40) {
        let mut sent = Vec::new();
        for piece in &pieces {
            frame(piece, &mut sent);
        }
        sent.extend_from_slice(END);
        let size = sent.len();
        sent.extend_from_slice(b"after");
        let (mut chunks, mut out, mut taken) = (Chunks::default(), Vec::new(), 0);
        for part in sent.chunks(step) {
            taken += chunks.feed(part, &mut out).unwrap();
        }
        prop_assert!(chunks.done());
        prop_assert_eq!(taken, size);
        prop_assert_eq!(out, pieces.concat());
    }

    #[test]
    fn different_paths_have_different_names(one in "/[a-c~%:;=.]{0,6}", other in "/[a-c~%:;=.]{0,6}") {
        if let (Ok(first), Ok(second)) = (path::read(&one), path::read(&other)) {
            prop_assert_eq!(first.segments == second.segments, unescaped(&one) == unescaped(&other));
        }
    }

    #[test]
    fn no_bytes_crash_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(Some(at)) = end(&bytes) {
            let _ = parse(&bytes[..at]);
        }
        let _ = reply::parse(&bytes, false);
    }
}

fn unescaped(path: &str) -> String {
    path.replace("%3a", ":")
        .replace("%3b", ";")
        .replace("%3d", "=")
}
