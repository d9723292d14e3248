//! What a command sends to the proxy: refused, or one request that reads the same once it was written anew.
use queenright_core::egress::chunks::{Chunks, END, frame};
use queenright_core::egress::head::{Body, Method, Request, end, parse, parse_inside};
use queenright_core::egress::host::Host;
use queenright_core::egress::reply;
use queenright_core::pattern::check_resource;

/// A head, as a command sends it.
pub fn request(data: &[u8]) {
    let Ok(Some(at)) = end(data) else { return };
    assert!(data[..at].ends_with(b"\r\n\r\n"), "a head without its end");
    inside(&data[..at]);
    let Ok(request) = parse(&data[..at]) else {
        return;
    };
    if let Ok(resource) = request.resource() {
        assert!(check_resource(&resource).is_ok(), "no resource: {resource}");
        assert!(resource.starts_with("host:"));
    }
    for (name, value) in &request.headers {
        let one_line = |text: &str| {
            text.bytes()
                .all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte))
        };
        assert!(one_line(name) && one_line(value), "a header of two lines");
        let ours = [
            "host",
            "content-length",
            "transfer-encoding",
            "connection",
            "upgrade",
            "expect",
        ];
        assert!(!ours.contains(&name.as_str()), "{name} goes on");
    }
    if request.method == Method::Connect {
        assert!(request.path.is_none() && request.body == Body::None);
        return;
    }
    let again = again(&request);
    assert_eq!(again.resource(), request.resource(), "another resource");
    assert_eq!(
        (again.host, again.port, again.path),
        (request.host, request.port, request.path)
    );
    assert_eq!(
        (again.method, again.headers),
        (request.method, request.headers),
        "another request"
    );
    assert!(
        again.body == request.body || request.body == Body::None,
        "another body"
    );
}

/// The same inside opened TLS: for its host alone, whatever it says, and read again as it was read.
fn inside(head: &[u8]) {
    let host = Host::Name("a.example".into());
    let Ok(request) = parse_inside(head, &host, 443) else {
        return;
    };
    assert!(request.tls && request.host == host && request.port == 443);
    assert!(request.path.is_some() && request.method != Method::Connect);
    let again = parse_inside(&request.upstream(), &host, 443).expect("what was read is read again");
    assert_eq!(
        (again.method, again.path, again.headers),
        (request.method, request.path, request.headers),
        "another request"
    );
}

/// What the upstream reads, read by the same rules: its target with the host that its Host header names.
fn again(request: &Request) -> Request {
    let sent = String::from_utf8(request.upstream()).expect("ASCII");
    let (line, rest) = sent.split_once("\r\n").expect("a line");
    let (method, target) = line.split_once(' ').expect("a method");
    let absolute = format!(
        "{method} http://{}:{}{target}\r\n{rest}",
        request.host, request.port
    );
    assert_eq!(
        end(absolute.as_bytes()),
        Ok(Some(absolute.len())),
        "it ends elsewhere"
    );
    parse(absolute.as_bytes()).expect("what was read is read again")
}

/// A chunked body: read in one piece and byte by byte alike, and written anew the same.
pub fn chunks(data: &[u8]) {
    let (mut whole, mut body) = (Chunks::default(), Vec::new());
    let taken = whole.feed(data, &mut body);
    let (mut single, mut other) = (Chunks::default(), Vec::new());
    let bytes: Result<usize, _> = data
        .iter()
        .map(|byte| single.feed(&[*byte], &mut other))
        .sum();
    assert_eq!(taken, bytes);
    if taken.is_err() {
        return;
    }
    assert_eq!((&body, whole.done()), (&other, single.done()));
    assert!(body.len() <= data.len());
    if whole.done() && !body.is_empty() {
        let mut written = Vec::new();
        frame(&body, &mut written);
        written.extend_from_slice(END);
        let (mut reader, mut back) = (Chunks::default(), Vec::new());
        assert_eq!(reader.feed(&written, &mut back), Ok(written.len()));
        assert!(reader.done() && back == body);
    }
}

/// An upstream's answer: refused, or a head of one connection.
pub fn answer(data: &[u8]) {
    let Ok(Some(at)) = reply::end(data) else {
        return;
    };
    if let Ok(reply) = reply::parse(&data[..at], false) {
        assert!((100..=599).contains(&reply.status));
        assert!(reply.head.ends_with(b"connection: close\r\n\r\n"));
        assert_eq!(
            reply::end(&reply.head),
            Ok(Some(reply.head.len())),
            "it ends elsewhere"
        );
    }
}
