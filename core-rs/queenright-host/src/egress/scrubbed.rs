//! An answer to a request that carried a credential: what comes back of it is taken out, wherever the upstream cuts its pieces.
use std::sync::atomic::Ordering::Relaxed;

use queenright_core::egress::chunks::{END, frame};
use queenright_core::egress::head::Body;
use queenright_core::egress::inside::Credential;
use queenright_core::egress::reply::{Follows, Reply};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::exchange::{Failed, Progress};
use super::proxy::Bounds;
use super::reader::Reader;
use super::relay::{self, IDLE, TOO_MUCH};

const PIECE: usize = 64 * 1024;

/// Passes a head and what came with it on, and then the rest. Chunks are taken apart and made anew: half a secret in each would
/// hide it.
pub(super) async fn answer(
    reply: Reply,
    first: Vec<u8>,
    credential: &Credential,
    (upstream, client): (
        &mut (impl AsyncRead + Unpin),
        &mut (impl AsyncWrite + Unpin),
    ),
    progress: &Progress,
    bounds: &Bounds,
) -> Result<&'static str, Failed> {
    if reply.coded {
        return Err(Failed::new(
            "coded",
            502,
            "the host answered in a coding that was not asked for: a credential in it could not be found",
        ));
    }
    let (mut scrub, mut head) = (credential.scrub(), Vec::with_capacity(reply.head.len()));
    scrub.feed(&reply.head, &mut head);
    scrub.finish(&mut head);
    progress.status.store(reply.status, Relaxed);
    relay::write(client, &head, bounds).await?;
    let chunked = reply.follows == Follows::Chunked;
    let mut reader = match reply.follows {
        Follows::Nothing => Some(Reader::of(Body::None)),
        Follows::Length(length) => Some(Reader::of(Body::Length(length))),
        Follows::Chunked => Some(Reader::of(Body::Chunked)),
        Follows::UntilClosed => None,
    };
    let (mut bytes, mut scrub) = (first, credential.scrub());
    let (mut clear, mut out) = (Vec::new(), Vec::new());
    loop {
        match &mut reader {
            Some(reader) => reader.feed(&bytes, &mut clear)?,
            None => clear.append(&mut bytes),
        }
        let count = clear.len() as u64;
        if progress.down.fetch_add(count, Relaxed) + count > bounds.bytes {
            return Err(TOO_MUCH);
        }
        scrub.feed(&clear, &mut out);
        clear.clear();
        let mut done = reader.as_ref().is_some_and(Reader::done);
        if !done {
            pass(client, &mut out, chunked, bounds).await?;
            bytes.resize(PIECE, 0);
            let read = timeout(bounds.idle, upstream.read(&mut bytes))
                .await
                .map_err(|_| IDLE)?;
            let count = read?;
            bytes.truncate(count);
            if count == 0 && reader.is_some() {
                return Err(Failed::new(
                    "broken",
                    0,
                    "the upstream ended within its answer",
                ));
            }
            done = count == 0;
        }
        if done {
            scrub.finish(&mut out);
            pass(client, &mut out, chunked, bounds).await?;
            if chunked {
                relay::write(client, END, bounds).await?;
            }
            // The client may be gone already.
            let _ = client.shutdown().await;
            return Ok("");
        }
    }
}

async fn pass(
    client: &mut (impl AsyncWrite + Unpin),
    out: &mut Vec<u8>,
    chunked: bool,
    bounds: &Bounds,
) -> Result<(), Failed> {
    if out.is_empty() {
        return Ok(());
    }
    if chunked {
        let mut framed = Vec::with_capacity(out.len() + 16);
        frame(out, &mut framed);
        relay::write(client, &framed, bounds).await?;
    } else {
        relay::write(client, out, bounds).await?;
    }
    out.clear();
    Ok(())
}
