//! One plain request and its answer, over an upstream connection of its own.
use std::sync::atomic::Ordering::Relaxed;

use queenright_core::egress::chunks::{END, frame};
use queenright_core::egress::head::{Body, Method, Request};
use queenright_core::egress::inside::Credential;
use queenright_core::egress::reply::{self, Follows, Reply};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::exchange::{Failed, Progress};
use super::proxy::Bounds;
use super::reader::Reader;
use super::relay::{self, IDLE, TOO_MUCH};
use super::scrubbed;
use super::stream::Stream;

const PIECE: usize = 64 * 1024;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Reads a body whole, for a person to decide about.
pub(super) async fn hold(
    client: &mut Stream,
    request: &Request,
    first: Vec<u8>,
    bounds: &Bounds,
) -> Result<Vec<u8>, Failed> {
    let large = || {
        Failed::new(
            "too_large",
            413,
            "a body that a person is asked about has at most 64 KiB",
        )
    };
    if matches!(request.body, Body::Length(length) if length > bounds.held as u64) {
        return Err(large());
    }
    if request.waits {
        relay::write(client, CONTINUE, bounds).await?;
    }
    let (mut reader, mut body, mut bytes) = (Reader::of(request.body), Vec::new(), first);
    loop {
        reader.feed(&bytes, &mut body)?;
        if body.len() > bounds.held {
            return Err(large());
        }
        if reader.done() {
            return Ok(body);
        }
        bytes.clear();
        let read = timeout(bounds.idle, client.read_buf(&mut bytes))
            .await
            .map_err(|_| IDLE)?;
        if read? == 0 {
            return Err(Failed::new(
                "broken",
                0,
                "the connection ended within the body",
            ));
        }
    }
}

/// Sends the request and passes the answer on. The code is "" once an answer came, whole or not.
pub(super) async fn exchange(
    client: &mut Stream,
    mut upstream: Stream,
    sent: Sent<'_>,
    progress: &Progress,
    bounds: &Bounds,
) -> Result<&'static str, Failed> {
    let Sent {
        request,
        first,
        held,
        credential,
    } = sent;
    let (mut client_reads, mut client_writes) = tokio::io::split(client);
    let (mut upstream_reads, mut upstream_writes) = tokio::io::split(&mut upstream);
    let waits = request.waits && held.is_none() && request.body != Body::None;
    if waits {
        relay::write(&mut client_writes, CONTINUE, bounds).await?;
    }
    let body = Sending {
        head: match credential {
            Some(credential) => request.upstream_with(credential),
            None => Zeroizing::new(request.upstream()),
        },
        body: request.body,
        first,
        held,
        progress,
        bounds,
    };
    let (reply, rest) = {
        let sending = body.send(&mut client_reads, &mut upstream_writes);
        let hearing = hear(&mut upstream_reads, request.method == Method::Head);
        tokio::pin!(sending, hearing);
        // An upstream may answer before it has heard all, and then wants no more of it. The time it has to answer counts
        // from the end of the request.
        let early = tokio::select! {
            sent = &mut sending => { sent?; None }
            heard = &mut hearing => Some(heard?),
        };
        match early {
            Some(heard) => heard,
            None => timeout(bounds.idle, hearing).await.map_err(|_| IDLE)??,
        }
    };
    if let Some(credential) = credential {
        let parts = (&mut upstream_reads, &mut client_writes);
        return scrubbed::answer(reply, rest, credential, parts, progress, bounds).await;
    }
    progress.status.store(reply.status, Relaxed);
    relay::write(&mut client_writes, &reply.head, bounds).await?;
    let most = match reply.follows {
        Follows::Nothing => Some(0),
        Follows::Length(length) => Some(length),
        // Chunks are passed on as they come.
        Follows::Chunked | Follows::UntilClosed => None,
    };
    let fits = most.map_or(rest.len(), |most| {
        usize::try_from(most).map_or(rest.len(), |most| most.min(rest.len()))
    });
    relay::write(&mut client_writes, &rest[..fits], bounds).await?;
    progress.down.fetch_add(fits as u64, Relaxed);
    let left = most.map(|most| most - fits as u64);
    let counts = [&progress.down, &progress.up];
    relay::pump(
        &mut upstream_reads,
        &mut client_writes,
        counts,
        left,
        bounds,
    )
    .await?;
    Ok("")
}

/// What is sent: a request, of its body what came with its head or all of it, and what the command never sees.
pub(super) struct Sent<'a> {
    pub request: &'a Request,
    pub first: Vec<u8>,
    pub held: Option<Vec<u8>>,
    pub credential: Option<&'a Credential>,
}

struct Sending<'a> {
    head: Zeroizing<Vec<u8>>,
    body: Body,
    first: Vec<u8>,
    held: Option<Vec<u8>>,
    progress: &'a Progress,
    bounds: &'a Bounds,
}

impl Sending<'_> {
    async fn send(
        self,
        client: &mut (impl AsyncRead + Unpin),
        upstream: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Failed> {
        relay::write(upstream, &self.head, self.bounds).await?;
        if let Some(body) = &self.held {
            self.piece(body, upstream).await?;
            return self.end(upstream).await;
        }
        let mut reader = Reader::of(self.body);
        let (mut bytes, mut piece) = (self.first.clone(), Vec::new());
        loop {
            reader.feed(&bytes, &mut piece)?;
            self.piece(&piece, upstream).await?;
            piece.clear();
            if reader.done() {
                return self.end(upstream).await;
            }
            bytes.resize(PIECE, 0);
            let read = timeout(self.bounds.idle, client.read(&mut bytes))
                .await
                .map_err(|_| IDLE)?;
            let count = read?;
            if count == 0 {
                return Err(Failed::new(
                    "broken",
                    0,
                    "the connection ended within the body",
                ));
            }
            bytes.truncate(count);
        }
    }

    async fn piece(
        &self,
        data: &[u8],
        upstream: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Failed> {
        if data.is_empty() {
            return Ok(());
        }
        let count = data.len() as u64;
        if self.progress.up.fetch_add(count, Relaxed) + count > self.bounds.bytes {
            return Err(TOO_MUCH);
        }
        if self.body != Body::Chunked {
            return relay::write(upstream, data, self.bounds).await;
        }
        let mut framed = Vec::with_capacity(data.len() + 16);
        frame(data, &mut framed);
        relay::write(upstream, &framed, self.bounds).await
    }

    async fn end(&self, upstream: &mut (impl AsyncWrite + Unpin)) -> Result<(), Failed> {
        match self.body {
            Body::Chunked => relay::write(upstream, END, self.bounds).await,
            Body::None | Body::Length(_) => Ok(()),
        }
    }
}

/// The final answer's head, and what came after it. Interim ones (1xx) are dropped; a switch of protocols is refused.
async fn hear(
    upstream: &mut (impl AsyncRead + Unpin),
    bodiless: bool,
) -> Result<(Reply, Vec<u8>), Failed> {
    let mut bytes = Vec::with_capacity(4096);
    loop {
        while let Some(at) = reply::end(&bytes)? {
            let reply = reply::parse(&bytes[..at], bodiless)?;
            bytes.drain(..at);
            match reply.status {
                101 => {
                    return Err(Failed::new(
                        "malformed",
                        502,
                        "the upstream switched protocols",
                    ));
                }
                100..=199 => {}
                _ => return Ok((reply, bytes)),
            }
        }
        if upstream.read_buf(&mut bytes).await? == 0 {
            return Err(Failed::new(
                "no_answer",
                502,
                "the upstream ended without an answer",
            ));
        }
    }
}
