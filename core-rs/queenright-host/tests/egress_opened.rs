//! A tunnel that is opened: what goes wrong before a request has come is bounded, counted, and nobody's act.
#![allow(clippy::unwrap_used)]

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use queenright_core::egress::inside::Credential;
use queenright_host::egress::{
    Answer, Authority, Bounds, Event, Opening, Proxy, Resolve, roots_of,
};

const WITHIN: Duration = Duration::from_secs(20);

struct Loopback;

impl Resolve for Loopback {
    fn addresses(&self, _name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![Ipv4Addr::LOCALHOST.into()])
    }
}

struct World {
    proxy: Proxy,
    at: std::net::SocketAddr,
}

impl World {
    fn new() -> Self {
        let bounds = Bounds {
            head: Duration::from_millis(500),
            ..Bounds::default()
        };
        let proxy = Proxy::start(bounds, Arc::new(Loopback)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        proxy.listen(OwnedFd::from(listener)).unwrap();
        Self { proxy, at }
    }

    fn next(&self) -> Event {
        let started = Instant::now();
        let mut seen = Vec::new();
        while seen.is_empty() {
            assert!(started.elapsed() < WITHIN, "no event came");
            seen = self.proxy.take();
            std::thread::yield_now();
        }
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.remove(0)
    }

    fn asked(&self) -> u64 {
        match self.next() {
            Event::Asked { id, .. } => id,
            other => panic!("{other:?}"),
        }
    }

    fn refused(&self) -> &'static str {
        match self.next() {
            Event::Refused { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    }

    fn client(&self, text: &str) -> TcpStream {
        let mut client = TcpStream::connect(self.at).unwrap();
        client.set_read_timeout(Some(WITHIN)).unwrap();
        client.write_all(text.as_bytes()).unwrap();
        client
    }

    /// A client whose tunnel was answered, and is about to be opened.
    fn opened(&self) -> (u64, TcpStream) {
        let mut client = self.client(CONNECT);
        let id = self.asked();
        self.proxy.answer(id, opening());
        let mut head = [0; 39];
        client.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 Connection established\r\n\r\n");
        (id, client)
    }
}

const CONNECT: &str = "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n";

fn opening() -> Answer {
    let authority = Arc::new(Authority::new("test").unwrap());
    Answer::Open(Box::new(Opening {
        roots: authority.roots(),
        authority,
        header: "authorization".into(),
    }))
}

fn rest(mut client: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset at the end is an end.
    let _ = client.read_to_end(&mut bytes);
    bytes
}

#[test]
fn a_handshake_that_does_not_come_is_not_waited_for() {
    let world = World::new();
    let (_, client) = world.opened();
    assert_eq!(world.refused(), "the TLS handshake did not come in time");
    assert_eq!(rest(client), b"");
}

#[test]
fn what_is_no_handshake_is_no_request() {
    let world = World::new();
    let (_, mut client) = world.opened();
    client
        .write_all(b"GET /v1 HTTP/1.1\r\nHost: a.example\r\n\r\n")
        .unwrap();
    assert!(world.refused().starts_with("no TLS for this host"));
    assert!(!rest(client).starts_with(b"HTTP"));
}

#[test]
fn a_cut_ends_a_handshake() {
    let world = World::new();
    let (id, client) = world.opened();
    world.proxy.cut(id);
    assert!(world.refused().contains("authority"));
    assert_eq!(rest(client), b"");
}

#[test]
fn bytes_before_the_answer_are_refused() {
    let world = World::new();
    let client = world.client(&format!("{CONNECT}early"));
    world.proxy.answer(world.asked(), opening());
    assert_eq!(world.refused(), "bytes before the tunnel was answered");
    assert!(rest(client).starts_with(b"HTTP/1.1 400"));
}

#[test]
fn no_credential_goes_out_in_clear() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = upstream.local_addr().unwrap().port();
    let world = World::new();
    let client = world.client(&format!(
        "GET http://a.example:{port}/ HTTP/1.1\r\nHost: a.example:{port}\r\n\r\n"
    ));
    let id = world.asked();
    world.proxy.answer(id, Answer::Resolve { hold: false });
    assert!(matches!(world.next(), Event::Resolved { .. }));
    let credential = Credential::new("authorization", b"canary-1".to_vec().into(), vec![]).unwrap();
    world.proxy.answer(id, Answer::GoWith(Box::new(credential)));
    let Event::Ended { end, .. } = world.next() else {
        panic!("no end");
    };
    assert_eq!((end.code, end.began), ("unanswered", false));
    assert!(rest(client).starts_with(b"HTTP/1.1 503"));
    upstream.set_nonblocking(true).unwrap();
    assert!(upstream.accept().is_err(), "it was dialled");
}

#[test]
fn two_authorities_share_nothing_and_show_no_key() {
    let (one, two) = (
        Authority::new("test").unwrap(),
        Authority::new("test").unwrap(),
    );
    assert_ne!(one.pem(), two.pem());
    assert_eq!(format!("{one:?}"), "Authority");
    assert!(!one.pem().contains("PRIVATE"));
    assert!(roots_of(one.pem()).is_ok());
    assert!(roots_of("").is_err());
    assert!(roots_of("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_err());
}
