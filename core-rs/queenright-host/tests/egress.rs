//! The proxy's promises, with real sockets and a resolver that the test scripts.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use queenright_host::egress::{Answer, Asked, Bounds, End, Event, Proxy, Resolve};

/// Answers each question with the next list; the last one for ever.
struct Scripted {
    lists: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Resolve for Scripted {
    fn addresses(&self, _name: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.fetch_add(1, SeqCst);
        let mut lists = self.lists.lock().unwrap();
        let first = lists.pop_front().unwrap_or_default();
        if lists.is_empty() {
            lists.push_back(first.clone());
        }
        Ok(first)
    }
}

struct World {
    proxy: Proxy,
    resolver: Arc<Scripted>,
    door: u64,
    at: SocketAddr,
    seen: VecDeque<Event>,
}

const WITHIN: Duration = Duration::from_secs(20);

impl World {
    fn new(bounds: Bounds, lists: &[&[&str]]) -> Self {
        let parse = |list: &&[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        let resolver = Arc::new(Scripted {
            lists: Mutex::new(lists.iter().map(parse).collect()),
            asked: AtomicUsize::new(0),
        });
        let proxy = Proxy::start(bounds, resolver.clone()).unwrap();
        let (door, at) = door(&proxy);
        Self {
            proxy,
            resolver,
            door,
            at,
            seen: VecDeque::new(),
        }
    }

    fn next(&mut self) -> Event {
        let started = Instant::now();
        loop {
            if let Some(event) = self.seen.pop_front() {
                return event;
            }
            assert!(started.elapsed() < WITHIN, "no event came");
            self.seen.extend(self.proxy.take());
            std::thread::yield_now();
        }
    }

    fn asked(&mut self) -> (u64, Asked) {
        match self.next() {
            Event::Asked { id, asked, .. } => (id, asked),
            other => panic!("{other:?}"),
        }
    }

    fn ended(&mut self) -> End {
        match self.next() {
            Event::Ended { end, .. } => end,
            other => panic!("{other:?}"),
        }
    }

    /// Lets one request through; the addresses it was shown.
    fn allow(&mut self) -> Vec<(String, Option<&'static str>)> {
        let (id, _) = self.asked();
        self.proxy.answer(id, Answer::Resolve { hold: false });
        match self.next() {
            Event::Resolved { addresses, .. } => {
                self.proxy.answer(id, Answer::Go);
                addresses
            }
            other => panic!("{other:?}"),
        }
    }

    fn client(&self, text: &str) -> TcpStream {
        let mut client = TcpStream::connect(self.at).unwrap();
        client.set_read_timeout(Some(WITHIN)).unwrap();
        client.write_all(text.as_bytes()).unwrap();
        client
    }
}

fn door(proxy: &Proxy) -> (u64, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    (proxy.listen(OwnedFd::from(listener)).unwrap(), at)
}

fn upstream() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn accepted(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(WITHIN)).unwrap();
    stream
}

fn rest(mut stream: impl Read) -> String {
    let mut bytes = Vec::new();
    // A reset at the end is an end.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) {
        let mut one = [0];
        assert_eq!(
            stream.read(&mut one).unwrap(),
            1,
            "{}",
            String::from_utf8_lossy(&bytes)
        );
        bytes.push(one[0]);
    }
    String::from_utf8(bytes).unwrap()
}

fn get(port: u16) -> String {
    format!("GET http://a.example:{port}/x HTTP/1.1\r\nHost: a.example:{port}\r\n\r\n")
}

fn connect(port: u16) -> String {
    format!("CONNECT a.example:{port} HTTP/1.1\r\nHost: a.example:{port}\r\n\r\n")
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

#[test]
fn a_name_is_resolved_once_and_what_was_shown_is_dialled() {
    let (listener, port) = upstream();
    // What it would say the second time is where nothing listens: a second question could not be overlooked.
    let mut world = World::new(Bounds::default(), &[&["127.0.0.1"], &["127.9.9.9"]]);
    let client = world.client(&get(port));
    assert_eq!(
        world.allow(),
        [("addr:127/0/0/1".to_owned(), Some("loopback"))]
    );
    let mut served = accepted(&listener);
    let head = until(&mut served, "\r\n\r\n");
    assert_eq!(
        head,
        format!("GET /x HTTP/1.1\r\nhost: a.example:{port}\r\nconnection: close\r\n\r\n")
    );
    served.write_all(OK).unwrap();
    assert!(rest(client).ends_with("\r\n\r\nhi"));
    let end = world.ended();
    assert_eq!(
        (end.code, end.status, end.down, end.began),
        ("", 200, 2, true)
    );
    assert_eq!(world.resolver.asked.load(SeqCst), 1);
}

#[test]
fn every_address_of_a_name_is_shown() {
    let mut world = World::new(
        Bounds::default(),
        &[&["8.8.8.8", "169.254.169.254", "::ffff:10.0.0.1"]],
    );
    let client = world.client(&get(80));
    let (id, asked) = world.asked();
    assert_eq!(
        (asked.verb, asked.resource.as_str()),
        ("web.get", "host:a.example/80/x")
    );
    world.proxy.answer(id, Answer::Resolve { hold: false });
    let Event::Resolved { addresses, .. } = world.next() else {
        panic!("no addresses");
    };
    let kinds: Vec<bool> = addresses.iter().map(|(_, kind)| kind.is_some()).collect();
    assert_eq!(kinds, [false, true, true]);
    world.proxy.answer(
        id,
        Answer::Refuse {
            status: 403,
            body: "{}".into(),
        },
    );
    assert!(rest(client).starts_with("HTTP/1.1 403 "));
    assert!(!world.ended().began);
}

#[test]
fn nothing_is_resolved_that_was_not_allowed() {
    let mut world = World::new(Bounds::default(), &[&["127.0.0.1"]]);
    let client = world.client(&get(80));
    let (id, _) = world.asked();
    world.proxy.answer(
        id,
        Answer::Refuse {
            status: 403,
            body: "{\"error\":\"denied\"}".into(),
        },
    );
    assert!(rest(client).ends_with("{\"error\":\"denied\"}"));
    assert_eq!(world.ended().code, "refused");
    assert_eq!(world.resolver.asked.load(SeqCst), 0);
}

#[test]
fn what_follows_a_request_is_never_read_as_another() {
    let (listener, port) = upstream();
    let mut world = World::new(Bounds::default(), &[&["127.0.0.1"]]);
    let first = format!(
        "POST http://a.example:{port}/x HTTP/1.1\r\nHost: a.example:{port}\r\nContent-Length: 3\r\n\r\nabc"
    );
    let client = world.client(&(first + &get(port)));
    world.allow();
    let mut served = accepted(&listener);
    until(&mut served, "\r\n\r\n");
    let mut body = [0; 3];
    served.read_exact(&mut body).unwrap();
    served.write_all(OK).unwrap();
    let _ = rest(client);
    assert_eq!(world.ended().up, 3);
    // The upstream saw the body and then the end.
    assert_eq!((&body, rest(served).as_str()), (b"abc", ""));
    world.proxy.close(world.door);
    assert!(world.proxy.take().is_empty());
}

#[test]
fn a_body_that_ends_in_two_places_goes_no_further() {
    let (listener, port) = upstream();
    let mut world = World::new(Bounds::default(), &[&["127.0.0.1"]]);
    let head = |more: &str| {
        format!("POST http://a.example:{port}/ HTTP/1.1\r\nHost: a.example:{port}\r\n{more}\r\n")
    };
    let both = world.client(&head("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"));
    assert!(rest(both).starts_with("HTTP/1.1 400 "));
    assert!(matches!(world.next(), Event::Refused { count: 1, .. }));
    let chunked =
        world.client(&(head("Transfer-Encoding: chunked\r\n") + "3;x\r\nabc\r\n0\r\n\r\n"));
    world.allow();
    let served = accepted(&listener);
    assert!(rest(chunked).starts_with("HTTP/1.1 400 "));
    // A request without its last chunk is one that no upstream acts on.
    assert!(rest(served).ends_with("transfer-encoding: chunked\r\n\r\n"));
    assert_eq!(world.ended().code, "malformed");
}

#[test]
fn a_chunked_body_arrives_as_it_was_sent() {
    let (listener, port) = upstream();
    let mut world = World::new(Bounds::default(), &[&["127.0.0.1"]]);
    let text = format!(
        "PUT http://a.example:{port}/ HTTP/1.1\r\nHost: a.example:{port}\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
    );
    let mut client = world.client(&text);
    world.allow();
    assert_eq!(
        until(&mut client, "\r\n\r\n"),
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    client
        .write_all(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        .unwrap();
    let mut served = accepted(&listener);
    let said = until(&mut served, "0\r\n\r\n");
    assert_eq!(
        said.split_once("\r\n\r\n")
            .unwrap()
            .1
            .replace("\r\n", " ")
            .replace("5 abcde", "3 abc 2 de"),
        "3 abc 2 de 0  "
    );
    served
        .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
        .unwrap();
    assert!(rest(client).starts_with("HTTP/1.1 204 "));
    assert_eq!(world.ended().up, 5);
}

#[test]
fn a_held_body_is_shown_whole_and_bounded() {
    let mut world = World::new(Bounds::default(), &[&["127.0.0.1"]]);
    let post = |length: usize| {
        format!(
            "POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let client = world.client(&(post(3) + "abc"));
    let (id, asked) = world.asked();
    assert!(asked.has_body);
    world.proxy.answer(id, Answer::Resolve { hold: true });
    let Event::Resolved { body, .. } = world.next() else {
        panic!("no body");
    };
    assert_eq!(body.unwrap(), b"abc");
    world.proxy.answer(
        id,
        Answer::Refuse {
            status: 403,
            body: "{}".into(),
        },
    );
    assert!(rest(client).starts_with("HTTP/1.1 403 "));
    world.ended();
    let client = world.client(&post(1 << 20));
    let (id, _) = world.asked();
    world.proxy.answer(id, Answer::Resolve { hold: true });
    assert!(rest(client).starts_with("HTTP/1.1 413 "));
    assert_eq!(world.ended().code, "too_large");
}

#[test]
fn a_tunnel_carries_bytes_until_it_is_cut() {
    let (listener, port) = upstream();
    let mut world = World::new(Bounds::default(), &[&["127.0.0.1"]]);
    let mut client = world.client(&(connect(port) + "early"));
    world.allow();
    let mut served = accepted(&listener);
    assert_eq!(
        until(&mut client, "\r\n\r\n"),
        "HTTP/1.1 200 Connection established\r\n\r\n"
    );
    assert_eq!(until(&mut served, "early"), "early");
    // A CONNECT inside the tunnel is bytes for the upstream that was checked.
    client.write_all(connect(1).as_bytes()).unwrap();
    assert_eq!(until(&mut served, "\r\n\r\n"), connect(1));
    served.write_all(b"back").unwrap();
    assert_eq!(until(&mut client, "back"), "back");
    world.proxy.close(world.door);
    assert_eq!((rest(client).as_str(), rest(served).as_str()), ("", ""));
    let end = world.ended();
    assert_eq!(
        (end.code, end.began, end.up, end.down),
        ("cut", true, 5 + connect(1).len() as u64, 4)
    );
}

#[test]
fn each_side_of_a_tunnel_may_end_first() {
    let (listener, port) = upstream();
    let mut world = World::new(Bounds::default(), &[&["127.0.0.1"]]);
    let mut client = world.client(&connect(port));
    world.allow();
    let mut served = accepted(&listener);
    until(&mut client, "\r\n\r\n");
    client.write_all(b"all").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut served), "all");
    served.write_all(b"answer").unwrap();
    drop(served);
    assert_eq!(rest(client), "answer");
    assert_eq!(world.ended().code, "");
}

#[test]
fn a_door_that_is_full_of_slow_clients_disturbs_no_other() {
    let bounds = Bounds {
        per_door: 2,
        head: Duration::from_millis(300),
        ..Bounds::default()
    };
    let mut world = World::new(bounds, &[&["127.0.0.1"]]);
    let slow: Vec<TcpStream> = (0..50).map(|_| world.client("GET http://a.ex")).collect();
    let (_, other) = door(&world.proxy);
    let mut client = TcpStream::connect(other).unwrap();
    client.write_all(get(80).as_bytes()).unwrap();
    // Of fifty, two at a time are waited for; whoever asks elsewhere is heard at once.
    let started = Instant::now();
    let mut refused = 0;
    let id = loop {
        match world.next() {
            Event::Asked { id, .. } => break id,
            Event::Refused { count, .. } => refused += count,
            other => panic!("{other:?}"),
        }
    };
    assert!(
        refused < 50,
        "only after all the slow ones, {:?}",
        started.elapsed()
    );
    world.proxy.answer(
        id,
        Answer::Refuse {
            status: 403,
            body: String::new(),
        },
    );
    assert!(rest(client).starts_with("HTTP/1.1 403 "));
    let mut first = slow.into_iter().next().unwrap();
    assert!(until(&mut first, "\r\n").starts_with("HTTP/1.1 408 "));
}

#[test]
fn what_was_sent_without_an_answer_is_known_to_have_begun() {
    let (listener, port) = upstream();
    let mut world = World::new(Bounds::default(), &[&["127.0.0.1"]]);
    let client = world.client(&get(port));
    world.allow();
    until(&mut accepted(&listener), "\r\n\r\n");
    assert!(rest(client).starts_with("HTTP/1.1 502 "));
    let end = world.ended();
    assert_eq!((end.code, end.began, end.status), ("no_answer", true, 0));
    drop(listener);
    let client = world.client(&get(port));
    world.allow();
    assert!(rest(client).starts_with("HTTP/1.1 502 "));
    let end = world.ended();
    assert_eq!((end.code, end.began), ("unreachable", false));
}

#[test]
fn more_bytes_than_an_exchange_may_carry_end_it() {
    let (listener, port) = upstream();
    let bounds = Bounds {
        bytes: 1 << 20,
        ..Bounds::default()
    };
    let mut world = World::new(bounds, &[&["127.0.0.1"]]);
    let mut client = world.client(&connect(port));
    world.allow();
    let served = accepted(&listener);
    let drain = std::thread::spawn(move || rest(served).len());
    until(&mut client, "\r\n\r\n");
    let piece = vec![0; 1 << 16];
    while client.write_all(&piece).is_ok() {}
    assert_eq!(world.ended().code, "too_large");
    assert!(drain.join().unwrap() <= 2 << 20);
}

#[test]
fn a_silent_upstream_is_given_up() {
    let (listener, port) = upstream();
    let bounds = Bounds {
        idle: Duration::from_millis(200),
        ..Bounds::default()
    };
    let mut world = World::new(bounds, &[&["127.0.0.1"]]);
    let client = world.client(&get(port));
    world.allow();
    let served = accepted(&listener);
    assert!(rest(client).starts_with("HTTP/1.1 504 "));
    assert_eq!(world.ended().code, "timed_out");
    drop(served);
}

#[test]
fn refusals_without_number_are_one_event() {
    let mut world = World::new(Bounds::default(), &[&["127.0.0.1"]]);
    for _ in 0..40 {
        assert!(rest(world.client("nonsense\r\n\r\n")).starts_with("HTTP/1.1 400 "));
    }
    let events = world.proxy.take();
    assert!(
        matches!(events[..], [Event::Refused { count: 40, .. }]),
        "{events:?}"
    );
    world.seen.clear();
}
