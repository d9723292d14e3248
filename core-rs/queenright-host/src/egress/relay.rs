//! Bytes both ways between a command and the one address that was checked.
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::exchange::{Failed, Progress};
use super::proxy::Bounds;
use super::stream::Stream;

/// Read at once from one side; as much lies in memory for each connection and direction.
const PIECE: usize = 64 * 1024;

pub(super) const TOO_MUCH: Failed =
    Failed::new("too_large", 413, "more bytes than one exchange may carry");
pub(super) const IDLE: Failed = Failed::new("timed_out", 504, "nothing was heard in time");

/// A tunnel to its end: each side may end its own direction first.
pub(super) async fn tunnel(
    client: &mut Stream,
    mut upstream: Stream,
    first: &[u8],
    progress: &Progress,
    bounds: &Bounds,
) -> Result<&'static str, Failed> {
    upstream.write_all(first).await?;
    progress.up.fetch_add(first.len() as u64, Relaxed);
    let (mut client_reads, mut client_writes) = tokio::io::split(client);
    let (mut upstream_reads, mut upstream_writes) = tokio::io::split(&mut upstream);
    let (up, down) = (&progress.up, &progress.down);
    tokio::try_join!(
        pump(
            &mut client_reads,
            &mut upstream_writes,
            [up, down],
            None,
            bounds
        ),
        pump(
            &mut upstream_reads,
            &mut client_writes,
            [down, up],
            None,
            bounds
        ),
    )?;
    Ok("")
}

/// Copies until the end of `from` or `most` bytes, and then ends `to`. `counts` are this direction's and the other's, which
/// shows that a quiet direction is part of a busy exchange.
pub(super) async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    counts: [&AtomicU64; 2],
    most: Option<u64>,
    bounds: &Bounds,
) -> Result<(), Failed> {
    let [mine, other] = counts;
    let mut left = most.unwrap_or(u64::MAX);
    let mut piece = vec![0; PIECE];
    while left > 0 {
        let room = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
        let before = other.load(Relaxed);
        let count = match timeout(bounds.idle, from.read(&mut piece[..room])).await {
            Ok(count) => count?,
            Err(_) if other.load(Relaxed) != before => continue,
            Err(_) => return Err(IDLE),
        };
        if count == 0 {
            break;
        }
        write(to, &piece[..count], bounds).await?;
        left -= count as u64;
        if mine.fetch_add(count as u64, Relaxed) + count as u64 > bounds.bytes {
            return Err(TOO_MUCH);
        }
    }
    // The other side may be gone already.
    let _ = to.shutdown().await;
    Ok(())
}

/// Writes all of it, in time: to the connection, not only into TLS.
pub(super) async fn write(
    to: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
    bounds: &Bounds,
) -> Result<(), Failed> {
    let all = async {
        to.write_all(bytes).await?;
        to.flush().await
    };
    let written: io::Result<()> = timeout(bounds.idle, all).await.map_err(|_| IDLE)?;
    Ok(written?)
}
