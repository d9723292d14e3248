//! Untrusted text: what comes out is fit for a terminal, no longer than asked, and the same the second time.
use queenright_core::sanitize::{MAX_LIMIT, sanitize, sanitize_name};

use crate::input::Input;

pub fn text(data: &[u8]) {
    let mut input = Input::new(data);
    let (flags, limit) = (input.byte(), input.number());
    let limit = usize::try_from(limit % 300).unwrap_or(0);
    let newlines = flags & 1 == 1;
    let text = String::from_utf8_lossy(input.rest());
    assert!(sanitize(&text, MAX_LIMIT + 1, newlines).is_err());
    let (Ok(shown), Ok(name)) = (
        sanitize(&text, limit, newlines),
        sanitize_name(&text, limit),
    ) else {
        assert_eq!(limit, 0, "a limit in range was refused");
        return;
    };
    assert!(
        shown.chars().filter(|shown| !is_mark(*shown)).count() <= limit,
        "longer than its limit"
    );
    for character in shown.chars() {
        assert!(
            !character.is_control() || (newlines && character == '\n'),
            "{character:?} reached the screen"
        );
        assert!(!reorders(character), "{character:?} reached the screen");
    }
    assert_eq!(
        sanitize(&shown, limit, newlines).as_deref(),
        Ok(&*shown),
        "not the same the second time"
    );
    assert!(name.len() <= limit, "a name longer than its limit");
    assert!(
        name.bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ')
    );
    let whole = sanitize_name(&text, MAX_LIMIT).expect("a limit in range");
    if text.len() < 100_000 {
        assert_eq!(unescaped(&whole), *text, "two names look alike");
    }
}

/// Characters that take no cell of their own: what is escaped where it stands alone but not after a letter.
fn is_mark(character: char) -> bool {
    let after_a: String = ['a', character].iter().collect();
    character.escape_debug().count() > 1 && after_a.escape_debug().count() == 2
}

/// The bidirectional controls of Unicode's UAX #9.
fn reorders(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The name that a whole sanitised name was.
fn unescaped(name: &str) -> String {
    let mut out = String::new();
    let mut left = name;
    while let Some((plain, escape)) = left.split_once("\\u{") {
        out.push_str(plain);
        let (digits, after) = escape.split_once('}').expect("an escape is closed");
        let code = u32::from_str_radix(digits, 16).expect("an escape is hexadecimal");
        out.push(char::from_u32(code).expect("an escape is a character"));
        left = after;
    }
    out.push_str(left);
    out
}
