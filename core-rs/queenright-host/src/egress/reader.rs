//! Where a body ends.
use queenright_core::egress::Bad;
use queenright_core::egress::chunks::Chunks;
use queenright_core::egress::head::Body;

/// Takes a body's pieces out of a stream of bytes.
pub(super) enum Reader {
    Length(u64),
    Chunks(Chunks),
}

impl Reader {
    pub fn of(body: Body) -> Self {
        match body {
            Body::None => Self::Length(0),
            Body::Length(length) => Self::Length(length),
            Body::Chunked => Self::Chunks(Chunks::default()),
        }
    }

    pub fn done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunks(chunks) => chunks.done(),
        }
    }

    /// Appends what `input` holds of the body; what comes after its end is nobody's.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), Bad> {
        match self {
            Self::Length(left) => {
                let count =
                    usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                out.extend_from_slice(&input[..count]);
                *left -= count as u64;
                Ok(())
            }
            Self::Chunks(chunks) => chunks.feed(input, out).map(drop),
        }
    }
}
