//! A chunked body, taken apart strictly and put together again: its end is where every reader sees it.
use super::Bad;

const BAD: Bad =
    Bad::request("a chunk is its size in hex, CR LF, its bytes, CR LF; no extension, no trailer");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size {
        digits: u8,
    },
    SizeEnd,
    Data,
    DataEnd {
        cr: bool,
    },
    /// After the last chunk: the empty line that ends the body.
    Last {
        cr: bool,
    },
    Done,
}

/// Feed it pieces of any size.
#[derive(Debug)]
pub struct Chunks {
    state: State,
    left: u64,
}

/// Hex digits of one chunk's size: 256 MiB.
const MAX_DIGITS: u8 = 7;

impl Default for Chunks {
    fn default() -> Self {
        Self {
            state: State::Size { digits: 0 },
            left: 0,
        }
    }
}

impl Chunks {
    pub fn done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes bytes from the front of `input` and appends the body's to `out`. Returns how many it took: fewer than all only
    /// when the body has ended.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Bad> {
        let mut at = 0;
        while at < input.len() && !self.done() {
            if self.state == State::Data {
                let rest = input.len() - at;
                let count = usize::try_from(self.left).map_or(rest, |left| left.min(rest));
                out.extend_from_slice(&input[at..at + count]);
                at += count;
                self.left -= count as u64;
                if self.left == 0 {
                    self.state = State::DataEnd { cr: false };
                }
                continue;
            }
            self.step(input[at])?;
            at += 1;
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<(), Bad> {
        self.state = match (self.state, byte) {
            (State::Size { digits }, b'\r') if digits > 0 => State::SizeEnd,
            (State::Size { digits }, byte) if digits < MAX_DIGITS => {
                let digit = char::from(byte).to_digit(16).ok_or(BAD)?;
                self.left = self.left * 16 + u64::from(digit);
                State::Size { digits: digits + 1 }
            }
            (State::SizeEnd, b'\n') if self.left == 0 => State::Last { cr: false },
            (State::SizeEnd, b'\n') => State::Data,
            (State::DataEnd { cr: false }, b'\r') => State::DataEnd { cr: true },
            (State::DataEnd { cr: true }, b'\n') => State::Size { digits: 0 },
            (State::Last { cr: false }, b'\r') => State::Last { cr: true },
            (State::Last { cr: true }, b'\n') => State::Done,
            _ => return Err(BAD),
        };
        Ok(())
    }
}

/// One chunk as it is sent on.
pub fn frame(data: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// What ends a chunked body.
pub const END: &[u8] = b"0\r\n\r\n";
