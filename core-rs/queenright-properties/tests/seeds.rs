//! The fuzzers' short form: every kept file through its property, in the order of names.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use queenright_properties::TARGETS;

fn seeds() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds")
}

fn names(directory: &Path) -> BTreeSet<String> {
    fs::read_dir(directory)
        .expect("the directory is there")
        .map(|entry| entry.expect("it can be listed").file_name())
        .map(|name| name.into_string().expect("plain names"))
        .collect()
}

#[test]
fn every_seed_and_everything_found_keeps_its_property() {
    let mut ran = 0;
    for (target, property) in TARGETS {
        let directory = seeds().join(target);
        for name in names(&directory) {
            eprintln!("{target}/{name}");
            property(&fs::read(directory.join(name)).expect("a file"));
            ran += 1;
        }
    }
    assert!(
        ran >= 2 * TARGETS.len(),
        "{ran} seeds for {} targets",
        TARGETS.len()
    );
}

/// Cut anywhere, a seed is still only bytes.
#[test]
fn every_prefix_of_a_seed_keeps_the_property() {
    for (target, property) in TARGETS {
        let directory = seeds().join(target);
        for name in names(&directory) {
            let seed = fs::read(directory.join(name)).expect("a file");
            for end in (0..seed.len().min(64)).chain((64..seed.len()).step_by(61)) {
                property(&seed[..end]);
            }
        }
    }
}

#[test]
fn every_target_has_a_fuzzer_and_seeds() {
    let fuzzers: BTreeSet<String> = names(&seeds().join("../fuzz_targets"))
        .iter()
        .map(|name| name.trim_end_matches(".rs").to_owned())
        .collect();
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(fuzzers, targets);
    let seeded: BTreeSet<String> = names(&seeds())
        .into_iter()
        .filter(|name| !name.starts_with("py_"))
        .collect();
    assert_eq!(seeded, targets);
}
