//! Untrusted text made fit for a terminal.
//!
//! A control character, an escape sequence's first byte, a bidirectional control, an invisible or unassigned character
//! is shown as a visible escape, never dropped: what is hidden is what an operator must see. Letters that are written
//! from right to left stay as they are; only the characters that reorder *others* are taken out.
use crate::error::{Error, Result};

/// No cell of a screen, and no card, holds more.
pub const MAX_LIMIT: usize = 1 << 20;
/// Accents on one character. Real scripts need two; a pile of them paints over the lines around it.
const MAX_MARKS: usize = 2;

/// Printable text of at most `limit` terminal cells.
///
/// One line, or several with `newlines`. What did not fit is named at the end as `…+N` (N characters of the input).
/// Applying it again changes nothing.
pub fn sanitize(text: &str, limit: usize, newlines: bool) -> Result<String> {
    let mut out = Cut::new(limit)?;
    // A mark at the start would sit on whatever the screen shows before it.
    let mut marks = MAX_MARKS;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if out.full {
            out.read += 1 + characters.count();
            break;
        }
        if newlines && character == '\n' {
            out.put("\n", 1);
            marks = MAX_MARKS;
            continue;
        }
        match classify(character) {
            Class::Plain => {
                marks = 0;
                out.put_char(character, cells(character));
            }
            Class::Mark if marks < MAX_MARKS => {
                marks += 1;
                out.put_char(character, 0);
            }
            Class::Mark | Class::Hidden => {
                out.put_escape(character);
            }
            Class::Control(picture) => {
                marks = 0;
                out.put_char(picture, 1);
            }
        }
    }
    Ok(out.finish())
}

/// A name in printable ASCII, of at most `limit` characters: everything else as `\u{..}`.
///
/// Two different names that fit never look alike: a backslash, and a space that the eye would miss,
/// are escaped too. So applying it twice escapes twice; apply it once, to the name itself.
pub fn sanitize_name(text: &str, limit: usize) -> Result<String> {
    let mut out = Cut::new(limit)?;
    let mut after_space = true;
    let last = text.chars().count().saturating_sub(1);
    for (index, character) in text.chars().enumerate() {
        let lost_space = character == ' ' && (after_space || index == last);
        after_space = character == ' ';
        if (character.is_ascii_graphic() || character == ' ') && character != '\\' && !lost_space {
            out.put_char(character, 1);
        } else {
            out.put_escape(character);
        }
    }
    Ok(out.finish_ascii())
}

enum Class {
    Plain,
    Mark,
    Hidden,
    /// Shown as its control picture.
    Control(char),
}

fn classify(character: char) -> Class {
    match character {
        ' '..='~' => Class::Plain,
        '\0'..='\x1f' => {
            Class::Control(char::from_u32(0x2400 + character as u32).unwrap_or('\u{2426}'))
        }
        '\x7f' => Class::Control('\u{2421}'),
        _ if is_invisible(character) => Class::Hidden,
        _ => {
            // The standard library's own tables: a character it would not print stands escaped in debug output, and
            // one that extends the character before it is escaped only where there is none.
            let alone = character.escape_debug().count() == 1;
            let mut buffer = [b'a', 0, 0, 0, 0];
            let end = 1 + character.encode_utf8(&mut buffer[1..]).len();
            let after_a =
                std::str::from_utf8(&buffer[..end]).map_or(0, |text| text.escape_debug().count());
            match (alone, after_a) {
                (true, 2) => Class::Plain,
                (false, 2) => Class::Mark,
                _ => Class::Hidden,
            }
        }
    }
}

/// Assigned and "printable", yet nothing is seen of it (Unicode's Default_Ignorable_Code_Point beyond category Cf,
/// and the blank Braille pattern).
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{034f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// How many cells terminals give a printable character: East Asian Wide and Fullwidth blocks, and pictographs, take two.
fn cells(character: char) -> usize {
    match character {
        '\u{1100}'..='\u{115f}'
        | '\u{231a}'..='\u{231b}'
        | '\u{23e9}'..='\u{23f3}'
        | '\u{25fd}'..='\u{25fe}'
        | '\u{2614}'..='\u{2615}'
        | '\u{2648}'..='\u{2653}'
        | '\u{2693}'..='\u{26fd}'
        | '\u{2705}'..='\u{27bf}'
        | '\u{2b1b}'..='\u{2b55}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{a960}'..='\u{a97c}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe10}'..='\u{fe6f}'
        | '\u{ff01}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{16fe0}'..='\u{18dff}'
        | '\u{1aff0}'..='\u{1b2ff}'
        | '\u{1f000}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// Collects whole pieces up to a limit, remembering where the cut mark would still fit.
struct Cut {
    out: String,
    used: usize,
    limit: usize,
    /// Byte length and characters read after each piece that ended within the last `TAIL` cells, newest last.
    ends: Vec<(usize, usize, usize)>,
    read: usize,
    full: bool,
}

/// `...+`, the digits of the largest count a text can lack, and the longest escape, which is cut as a whole.
const TAIL: usize = 4 + 20 + 10;

impl Cut {
    fn new(limit: usize) -> Result<Self> {
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Error::malformed(format!(
                "a limit of {limit} cells, not 1 to {MAX_LIMIT}"
            )));
        }
        Ok(Self {
            out: String::new(),
            used: 0,
            limit,
            ends: vec![(0, 0, 0)],
            read: 0,
            full: false,
        })
    }

    fn put_char(&mut self, character: char, cells: usize) {
        let mut buffer = [0; 4];
        self.put(character.encode_utf8(&mut buffer), cells);
    }

    fn put_escape(&mut self, character: char) {
        let escape = format!("\\u{{{:x}}}", character as u32);
        self.put(&escape, escape.len());
    }

    fn put(&mut self, piece: &str, cells: usize) {
        self.read += 1;
        if self.full || self.used + cells > self.limit {
            self.full = true;
            return;
        }
        self.out.push_str(piece);
        self.used += cells;
        self.ends.push((self.out.len(), self.used, self.read));
        if self.ends.len() > 4 * TAIL {
            let least = self.used.saturating_sub(TAIL);
            self.ends.retain(|(_, used, _)| *used >= least);
        }
    }

    fn finish(self) -> String {
        self.close("…")
    }

    fn finish_ascii(self) -> String {
        self.close("...")
    }

    fn close(mut self, mark: &str) -> String {
        if !self.full {
            return self.out;
        }
        for (length, used, read) in self.ends.iter().rev() {
            let tail = format!("{mark}+{}", self.read - read);
            if used + tail.chars().count() <= self.limit {
                self.out.truncate(*length);
                self.out.push_str(&tail);
                return self.out;
            }
        }
        mark.chars().take(self.limit).collect()
    }
}

#[cfg(test)]
#[path = "sanitize_tests.rs"]
mod tests;
