use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn line(text: &str) -> String {
    sanitize(text, 1000, false).unwrap()
}

/// Written out apart from the code under test: nothing here may ever reach a terminal.
fn is_dangerous(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e0fff}' | '\u{e000}'..='\u{f8ff}'
            | '\u{2800}' | '\u{3164}' | '\u{ffa0}' | '\u{a0}' | '\u{3000}' | '\u{1d173}'..='\u{1d17a}'
        )
}

/// Strings of what an attacker would use, mixed with what people write.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<char>().prop_map(String::from),
        "[a-zA-Z0-9 \\\\]{1,6}",
        Just("\x1b]0;root\x07".into()),
        Just("\x1b[2J\x1b[H".into()),
        Just("\u{9b}31m".into()),
        Just("\u{202e}gnp\u{2066}".into()),
        Just("\u{200b}\u{feff}\u{e0041}".into()),
        Just("a\u{301}\u{301}\u{301}\u{301}".into()),
        Just("\r\n\t".into()),
        Just("漢字😀👩\u{200d}🔧".into()),
        Just("\\u{202e}".into()),
    ];
    proptest::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

#[test]
fn escape_sequences_become_visible() {
    assert_eq!(line("\x1b]0;pwned\x07ok\x1b[2J"), "␛]0;pwned␇ok␛[2J");
    assert_eq!(line("\u{9b}31mred"), "\\u{9b}31mred");
    assert_eq!(line("a\r\n\tb\x7f\0"), "a␍␊␉b␡␀");
    assert_eq!(sanitize("a\r\nb\tc", 99, true).unwrap(), "a␍\nb␉c");
}

#[test]
fn reordering_and_invisible_characters_become_visible() {
    assert_eq!(line("\u{202e}txt.exe"), "\\u{202e}txt.exe");
    assert_eq!(
        line("a\u{200b}b\u{2066}c\u{e0041}"),
        "a\\u{200b}b\\u{2066}c\\u{e0041}"
    );
    assert_eq!(line("x\u{fe0f}\u{3164}"), "x\\u{fe0f}\\u{3164}");
    assert_eq!(line("a\u{2028}b\u{a0}c"), "a\\u{2028}b\\u{a0}c");
}

#[test]
fn what_people_write_stays() {
    for text in [
        "Grüße aus Zürich",
        "привет",
        "שלום",
        "日本語",
        "e\u{301}t\u{e9}",
        "→ ok … 95 %",
        "[@click=app.x]hi[/]",
    ] {
        assert_eq!(line(text), text);
    }
}

#[test]
fn piled_accents_stop_at_two_and_none_leads() {
    assert_eq!(line("a\u{301}\u{302}\u{303}"), "a\u{301}\u{302}\\u{303}");
    assert_eq!(line("\u{301}a"), "\\u{301}a");
    assert_eq!(sanitize("a\n\u{301}", 99, true).unwrap(), "a\n\\u{301}");
}

#[test]
fn a_cut_says_how_much_is_missing() {
    assert_eq!(sanitize("abcdefghij", 10, false).unwrap(), "abcdefghij");
    assert_eq!(sanitize("abcdefghijk", 10, false).unwrap(), "abcdefg…+4");
    assert_eq!(sanitize("日本語日本語", 9, false).unwrap(), "日本語…+3");
    assert_eq!(
        sanitize("ab\u{202e}\u{202e}", 9, false).unwrap(),
        "ab…+2",
        "an escape is never cut in half"
    );
    assert_eq!(sanitize("abcdef", 2, false).unwrap(), "…");
    assert_eq!(sanitize_name("abcdefghijk", 10).unwrap(), "abcde...+6");
    let long = sanitize(&"x".repeat(1_000_000), 280, false).unwrap();
    assert_eq!(long.chars().count(), 280);
    assert!(long.ends_with("…+999728"), "{long}");
    assert!(sanitize("a", 0, false).is_err());
    assert!(sanitize("a", MAX_LIMIT + 1, false).is_err());
}

#[test]
fn a_name_shows_every_letter_that_is_not_ascii() {
    assert_eq!(sanitize_name("svc:shop/web", 99).unwrap(), "svc:shop/web");
    assert_eq!(
        sanitize_name("svc:sh\u{43e}p", 99).unwrap(),
        "svc:sh\\u{43e}p"
    );
    assert_eq!(
        sanitize_name(" a  b ", 99).unwrap(),
        "\\u{20}a \\u{20}b\\u{20}"
    );
    assert_eq!(sanitize_name("\\u{43e}", 99).unwrap(), "\\u{5c}u{43e}");
}

fn safe(text: &str, newlines: bool) -> bool {
    !text
        .chars()
        .any(|character| is_dangerous(character) && !(newlines && character == '\n'))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn nothing_dangerous_comes_out(text in hostile(), limit in 1_usize..400, newlines: bool) {
        let out = sanitize(&text, limit, newlines).unwrap();
        prop_assert!(safe(&out, newlines), "{out:?}");
        prop_assert_eq!(sanitize(&out, limit, newlines).unwrap(), out, "again changes nothing");
    }

    #[test]
    fn nothing_is_longer_than_its_limit(text in hostile(), limit in 1_usize..60) {
        let out = sanitize(&text, limit, false).unwrap();
        let width: usize = out.chars().map(|character| match classify(character) {
            Class::Mark => 0,
            _ => cells(character),
        }).sum();
        prop_assert!(width <= limit, "{out:?} has {width} cells");
        prop_assert!(sanitize_name(&text, limit).unwrap().len() <= limit);
    }

    #[test]
    fn nothing_is_dropped_in_silence(text in hostile()) {
        let out = sanitize(&text, MAX_LIMIT, false).unwrap();
        prop_assert!(out.chars().count() >= text.chars().count());
    }

    #[test]
    fn two_names_never_look_alike(left in hostile(), right in hostile()) {
        let names: Vec<String> = [&left, &right].iter().map(|name| sanitize_name(name, MAX_LIMIT).unwrap()).collect();
        prop_assert!(names.iter().all(|name| name.chars().all(|character| (' '..='~').contains(&character))));
        prop_assert_eq!(names[0] == names[1], left == right);
    }
}

#[test]
fn every_character_there_is_comes_out_safe_and_names_stay_apart() {
    let mut names = HashMap::new();
    for character in '\0'..=char::MAX {
        let text = format!("a{character}b");
        let out = line(&text);
        assert!(safe(&out, false), "{:x}", character as u32);
        assert!(out.chars().count() >= 3, "{:x}", character as u32);
        if let Some(twin) = names.insert(sanitize_name(&text, 99).unwrap(), character) {
            panic!("{:x} and {:x} look alike", twin as u32, character as u32);
        }
    }
}
