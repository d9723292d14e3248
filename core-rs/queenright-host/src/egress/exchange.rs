//! One connection of a command: read, asked about, resolved, dialled, relayed, ended.
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, Ordering::Relaxed};

use queenright_core::egress::Bad;
use queenright_core::egress::address;
use queenright_core::egress::head::{self, Body, Method, Request};
use queenright_core::egress::host::Host;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::timeout;

use super::event::{Answer, Asked, End, Event, kind_of};
use super::proxy::Shared;
use super::stream::Stream;
use super::tls::{self, Opening};
use super::{relay, web};

/// What an exchange has come to, readable after it was cut.
#[derive(Default)]
pub(super) struct Progress {
    /// 0 until asked about, 1 asked, 2 dialled: from here on the upstream may have seen something.
    stage: AtomicU8,
    pub status: AtomicU16,
    pub up: AtomicU64,
    pub down: AtomicU64,
}

const ASKED: u8 = 1;
const DIALLED: u8 = 2;

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// Why an exchange ended otherwise than by itself; the status is for a client that can still be told.
pub(super) struct Failed {
    pub code: &'static str,
    pub status: u16,
    pub reason: &'static str,
}

impl Failed {
    pub const fn new(code: &'static str, status: u16, reason: &'static str) -> Self {
        Self {
            code,
            status,
            reason,
        }
    }
}

impl From<Bad> for Failed {
    fn from(bad: Bad) -> Self {
        Self::new("malformed", bad.status, bad.reason)
    }
}

/// The connection broke.
impl From<io::Error> for Failed {
    fn from(_: io::Error) -> Self {
        Self::new("broken", 0, "the connection broke")
    }
}

pub(super) async fn run(
    shared: &Shared,
    id: u64,
    door: u64,
    client: TcpStream,
    mut answers: mpsc::Receiver<Answer>,
    cut: &Notify,
    resolving: Arc<Semaphore>,
) {
    let mut client = Stream::Plain(client);
    let progress = Progress::default();
    let one = One {
        shared,
        id,
        door,
        progress: &progress,
        resolving,
    };
    let ended = tokio::select! {
        biased;
        () = cut.notified() => Err(Failed::new("cut", 0, "the command's authority, or the command, has ended")),
        ended = one.serve(&mut client, &mut answers) => ended,
    };
    let stage = progress.stage.load(Relaxed);
    let code = match &ended {
        Ok(code) => code,
        Err(failed) => failed.code,
    };
    // Said before the client is told why: that may take as long as a client likes.
    if stage >= ASKED {
        let end = End {
            code,
            began: stage >= DIALLED,
            status: progress.status.load(Relaxed),
            up: progress.up.load(Relaxed),
            down: progress.down.load(Relaxed),
        };
        shared.queue.put(Event::Ended { id, end });
    } else if let Err(failed) = &ended {
        shared.queue.refused(door, failed.reason);
    }
    if let Err(failed) = ended
        && failed.status != 0
        && progress.status.load(Relaxed) == 0
    {
        let body = format!(
            "{{\"error\":\"{}\",\"message\":\"{}\"}}\n",
            failed.code,
            failed.reason.replace('\\', "\\\\").replace('"', "\\\"")
        );
        tokio::select! {
            () = cut.notified() => {}
            () = refuse(&mut client, failed.status, &body) => {}
        }
    }
}

struct One<'a> {
    shared: &'a Shared,
    id: u64,
    door: u64,
    progress: &'a Progress,
    resolving: Arc<Semaphore>,
}

impl One<'_> {
    /// The code of an end that the command has been told of.
    async fn serve(
        &self,
        client: &mut Stream,
        answers: &mut mpsc::Receiver<Answer>,
    ) -> Result<&'static str, Failed> {
        let bounds = &self.shared.bounds;
        let (mut request, mut rest) = self.head(client, None).await?;
        let mut answer = self.ask(&request, answers).await?;
        let mut opened = None;
        if let Answer::Open(opening) = answer {
            (request, rest) = self.open(client, &request, &rest, &opening).await?;
            answer = self.ask(&request, answers).await?;
            opened = Some(opening);
        }
        let hold = match answer {
            Answer::Resolve { hold } => hold,
            Answer::Refuse { status, body } => {
                refuse(client, status, &body).await;
                return Ok("refused");
            }
            Answer::Go | Answer::GoWith(_) | Answer::Open(_) => {
                return Err(Failed::new("unanswered", 503, "no addresses were shown"));
            }
        };
        let (rest, held) = if hold && request.body != Body::None {
            let body = web::hold(client, &request, rest, bounds).await?;
            (Vec::new(), Some(body))
        } else {
            (rest, None)
        };
        let addresses = self.addresses(&request.host).await?;
        let shown = addresses
            .iter()
            .map(|address| (address::resource(*address), kind_of(*address)));
        self.shared.queue.put(Event::Resolved {
            id: self.id,
            addresses: shown.collect(),
            body: held.clone(),
        });
        let credential = match self.answer(answers).await? {
            Answer::Go => None,
            // In clear it would be everybody's on the way.
            Answer::GoWith(credential) if opened.is_some() => Some(credential),
            Answer::Refuse { status, body } => {
                refuse(client, status, &body).await;
                return Ok("refused");
            }
            Answer::Resolve { .. } | Answer::Open(_) | Answer::GoWith(_) => {
                return Err(Failed::new("unanswered", 503, "no answer to the addresses"));
            }
        };
        let upstream = self.dial(&addresses, request.port).await?;
        let upstream = match &opened {
            // Until the host is known to be itself, nothing of the request has gone to it.
            Some(opening) => tls::connect(upstream, &request.host, opening, bounds).await?,
            None => Stream::Plain(upstream),
        };
        self.progress.stage.store(DIALLED, Relaxed);
        if request.method == Method::Connect {
            relay::write(client, ESTABLISHED, bounds).await?;
            return relay::tunnel(client, upstream, &rest, self.progress, bounds).await;
        }
        let sent = web::Sent {
            request: &request,
            first: rest,
            held,
            credential: credential.as_deref(),
        };
        web::exchange(client, upstream, sent, self.progress, bounds).await
    }

    /// A head in time, and what came after it; `inside` TLS that was opened for a host and port.
    async fn head(
        &self,
        client: &mut Stream,
        inside: Option<(&Host, u16)>,
    ) -> Result<(Request, Vec<u8>), Failed> {
        if let Stream::Plain(client) = client {
            // Small writes of a protocol that waits for each.
            client.set_nodelay(true)?;
        }
        let late = |_| Failed::new("slow", 408, "the head did not come in time");
        timeout(self.shared.bounds.head, read_head(client, inside))
            .await
            .map_err(late)?
    }

    async fn ask(
        &self,
        request: &Request,
        answers: &mut mpsc::Receiver<Answer>,
    ) -> Result<Answer, Failed> {
        let asked = asked(request)?;
        self.progress.stage.store(ASKED, Relaxed);
        let (id, door) = (self.id, self.door);
        self.shared.queue.put(Event::Asked { id, door, asked });
        self.answer(answers).await
    }

    /// Ends the tunnel's TLS here; the request inside.
    async fn open(
        &self,
        client: &mut Stream,
        tunnel: &Request,
        early: &[u8],
        opening: &Opening,
    ) -> Result<(Request, Vec<u8>), Failed> {
        // What goes wrong until the next question is no act of anybody: it is counted as what could not be read.
        self.progress.stage.store(0, Relaxed);
        if tunnel.method != Method::Connect {
            return Err(Failed::new("unanswered", 503, "only a tunnel is opened"));
        }
        if !early.is_empty() {
            return Err(Failed::new(
                "malformed",
                400,
                "bytes before the tunnel was answered",
            ));
        }
        relay::write(client, ESTABLISHED, &self.shared.bounds).await?;
        let broken = Failed::new("broken", 0, "the connection broke");
        let stream = client.take().ok_or(broken)?;
        *client = tls::accept(stream, &tunnel.host, opening, &self.shared.bounds).await?;
        let (mut request, rest) = self.head(client, Some((&tunnel.host, tunnel.port))).await?;
        request.without(&opening.header);
        Ok((request, rest))
    }

    async fn answer(&self, answers: &mut mpsc::Receiver<Answer>) -> Result<Answer, Failed> {
        match timeout(self.shared.bounds.answer, answers.recv()).await {
            Ok(Some(answer)) => Ok(answer),
            _ => Err(Failed::new(
                "unanswered",
                503,
                "the supervisor did not answer",
            )),
        }
    }

    /// The addresses of a name, asked for once; an address is its own.
    async fn addresses(&self, host: &Host) -> Result<Vec<IpAddr>, Failed> {
        let name = match host {
            Host::Address(address) => return Ok(vec![*address]),
            Host::Name(name) => name.clone(),
        };
        let late = |_| Failed::new("unresolved", 504, "the name did not resolve in time");
        let found = timeout(self.shared.bounds.reach, async {
            // Kept until the resolver has returned, in time or not.
            let place = self.resolving.clone().acquire_owned().await.ok()?;
            let resolver = self.shared.resolver.clone();
            let asking = tokio::task::spawn_blocking(move || {
                let found = resolver.addresses(&name);
                drop(place);
                found
            });
            asking.await.ok()?.ok().filter(|found| !found.is_empty())
        });
        found.await.map_err(late)?.ok_or(Failed::new(
            "unresolved",
            502,
            "the name does not resolve",
        ))
    }

    /// The first of the shown addresses that takes a connection.
    async fn dial(&self, addresses: &[IpAddr], port: u16) -> Result<TcpStream, Failed> {
        let unreachable = Failed::new("unreachable", 502, "no connection to the host");
        let dialled = timeout(self.shared.bounds.reach, async {
            for address in addresses {
                if let Ok(upstream) = TcpStream::connect(SocketAddr::new(*address, port)).await {
                    return Some(upstream);
                }
            }
            None
        });
        let upstream = dialled.await.ok().flatten().ok_or(unreachable)?;
        upstream.set_nodelay(true)?;
        Ok(upstream)
    }
}

fn asked(request: &Request) -> Result<Asked, Bad> {
    let path = request
        .path
        .as_ref()
        .map_or(String::new(), |path| match &path.query {
            Some(query) => format!("{}?{query}", path.text),
            None => path.text.to_string(),
        });
    Ok(Asked {
        verb: request.method.verb(),
        resource: request.resource()?,
        method: request.method.name(),
        host: request.host.to_string(),
        port: request.port,
        path,
        headers: request.headers.clone(),
        has_body: request.body != Body::None,
        tls: request.tls,
    })
}

/// The head, and the bytes that came after it.
async fn read_head(
    client: &mut Stream,
    inside: Option<(&Host, u16)>,
) -> Result<(Request, Vec<u8>), Failed> {
    let mut bytes = Vec::with_capacity(2048);
    loop {
        if let Some(at) = head::end(&bytes)? {
            let request = match inside {
                None => head::parse(&bytes[..at])?,
                Some((host, port)) => head::parse_inside(&bytes[..at], host, port)?,
            };
            return Ok((request, bytes.split_off(at)));
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Err(Failed::new(
                "broken",
                0,
                "the connection ended within the head",
            ));
        }
    }
}

/// Bytes that a refused client may still be sending, and how long they are waited for: closing on unread bytes would reset
/// the connection and lose the answer.
const LINGER_BYTES: usize = 256 * 1024;
const LINGER: std::time::Duration = std::time::Duration::from_secs(1);

/// Answers with a status and JSON; the connection is over. What goes wrong here is the client's loss.
pub(super) async fn refuse(client: &mut Stream, status: u16, body: &str) {
    let head = format!(
        "HTTP/1.1 {status} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        words(status),
        body.len()
    );
    let _ = timeout(LINGER, async {
        client.write_all(head.as_bytes()).await?;
        client.flush().await?;
        client.shutdown().await?;
        let (mut scratch, mut seen) = (vec![0; 16 * 1024], 0);
        while seen < LINGER_BYTES {
            match client.read(&mut scratch).await? {
                0 => break,
                count => seen += count,
            }
        }
        Ok::<_, io::Error>(())
    })
    .await;
}

fn words(status: u16) -> &'static str {
    match status {
        403 => "Refused by queenright",
        408 => "Request Timeout",
        413 => "Content Too Large",
        500..=599 => "Not Reached",
        _ => "Bad Request",
    }
}
