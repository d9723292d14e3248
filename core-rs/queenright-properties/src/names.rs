//! Verbs, resources and their patterns: one text a pattern, and the three questions agree with each other.
use queenright_core::digest::digest;
use queenright_core::pattern::{ResourcePattern, VerbPattern, check_resource, check_verb};

use crate::input::Input;

/// Any four texts as patterns and names.
pub fn patterns(data: &[u8]) {
    let mut input = Input::new(data);
    let (first, second, name) = (input.text(), input.text(), input.text());
    verbs(first, second, name);
    resources(first, second, name);
    if let Err(error) = digest(name, first.as_bytes()) {
        assert!(
            error.message.len() < 1024,
            "a refusal repeats a whole hostile name"
        );
    }
}

fn verbs(first: &str, second: &str, name: &str) {
    let (mine, theirs) = match (VerbPattern::parse(first), VerbPattern::parse(second)) {
        (Ok(mine), Ok(theirs)) => (mine, theirs),
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => (one.clone(), one),
        (Err(error), Err(_)) => {
            assert!(
                error.text.chars().count() <= 80,
                "a refusal repeats a whole hostile name"
            );
            return;
        }
    };
    for pattern in [&mine, &theirs] {
        let text = pattern.to_string();
        assert_eq!(
            VerbPattern::parse(&text).as_ref(),
            Ok(pattern),
            "{text} has two spellings"
        );
        assert!(pattern.covers(pattern) && pattern.overlaps(pattern));
        assert!(VerbPattern::Any.covers(pattern));
        if pattern.is_exact() {
            assert!(check_verb(&text).is_ok() && pattern.matches(&text));
        }
    }
    assert_eq!(mine.overlaps(&theirs), theirs.overlaps(&mine));
    if check_verb(name).is_err() {
        return;
    }
    if mine.covers(&theirs) && theirs.matches(name) {
        assert!(
            mine.matches(name),
            "{mine} covers {theirs} but not its {name}"
        );
    }
    if mine.matches(name) && theirs.matches(name) {
        assert!(mine.overlaps(&theirs), "{mine} and {theirs} share {name}");
    }
    let exact = VerbPattern::parse(name).expect("a verb is a pattern of itself");
    assert_eq!(mine.matches(name), mine.covers(&exact));
}

fn resources(first: &str, second: &str, name: &str) {
    let (mine, theirs) = match (
        ResourcePattern::parse(first),
        ResourcePattern::parse(second),
    ) {
        (Ok(mine), Ok(theirs)) => (mine, theirs),
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => (one.clone(), one),
        (Err(error), Err(_)) => {
            assert!(
                error.text.chars().count() <= 80,
                "a refusal repeats a whole hostile name"
            );
            return;
        }
    };
    for pattern in [&mine, &theirs] {
        let text = pattern.to_string();
        assert_eq!(
            ResourcePattern::parse(&text).as_ref(),
            Ok(pattern),
            "{text} has two spellings"
        );
        assert!(pattern.covers(pattern) && pattern.overlaps(pattern));
    }
    assert_eq!(mine.overlaps(&theirs), theirs.overlaps(&mine));
    if mine.covers(&theirs) {
        assert!(
            mine.overlaps(&theirs),
            "{mine} covers {theirs} and shares nothing with it"
        );
    }
    if check_resource(name).is_err() {
        return;
    }
    if mine.covers(&theirs) && theirs.matches(name) {
        assert!(
            mine.matches(name),
            "{mine} covers {theirs} but not its {name}"
        );
    }
    if mine.matches(name) && theirs.matches(name) {
        assert!(mine.overlaps(&theirs), "{mine} and {theirs} share {name}");
    }
    let exact = ResourcePattern::parse(name).expect("a resource is a pattern of itself");
    assert_eq!(mine.matches(name), mine.covers(&exact));
}
