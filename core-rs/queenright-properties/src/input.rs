//! Cutting a fuzzer's bytes into the arguments of a decoder. Whatever the bytes, something comes of them.

pub struct Input<'a> {
    left: &'a [u8],
}

impl<'a> Input<'a> {
    #[must_use]
    pub fn new(data: &'a [u8]) -> Self {
        Self { left: data }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// The next byte, 0 at the end.
    pub fn byte(&mut self) -> u8 {
        let (byte, left) = self.left.split_first().unwrap_or((&0, &[]));
        self.left = left;
        *byte
    }

    /// The next eight bytes, big-endian, zeros past the end.
    pub fn number(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    /// The next 32 bytes, zeros past the end.
    pub fn key(&mut self) -> [u8; 32] {
        let mut key = [0; 32];
        key.fill_with(|| self.byte());
        key
    }

    /// As many bytes as the next two, big-endian, say, or as there are.
    pub fn part(&mut self) -> &'a [u8] {
        let wanted = usize::from(self.byte()) << 8 | usize::from(self.byte());
        let (part, left) = self.left.split_at(wanted.min(self.left.len()));
        self.left = left;
        part
    }

    /// The next part as text, if it is any.
    pub fn text(&mut self) -> &'a str {
        std::str::from_utf8(self.part()).unwrap_or("")
    }

    pub fn rest(self) -> &'a [u8] {
        self.left
    }
}

/// A change of some bytes: overwritten, cut, grown, or joined with themselves. May come to nothing.
pub fn edit(bytes: &[u8], input: &mut Input<'_>) -> Vec<u8> {
    let mut edited = bytes.to_vec();
    let (what, at, with) = (input.byte(), input.number(), input.byte());
    let at = usize::try_from(at % (bytes.len() as u64 + 1)).unwrap_or(0);
    match what % 5 {
        0 => {
            if let Some(byte) = edited.get_mut(at) {
                *byte ^= with;
            }
        }
        1 => edited.truncate(at),
        2 => edited.insert(at, with),
        3 => {
            if at < edited.len() {
                edited.remove(at);
            }
        }
        _ => {
            let end = bytes.len().min(at + usize::from(with));
            edited.splice(at..at, bytes[at..end].iter().copied());
        }
    }
    edited
}
