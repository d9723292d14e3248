#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;
use crate::canonical::Writer;
use crate::merkle::verify_inclusion;

fn template() -> Template {
    Template {
        runtime: [1; 32],
        intent: [2; 32],
        parent: [3; 32],
        package: [4; 32],
        grant: [5; 32],
        family: "sre/root".into(),
        behaviour: "sre.Scout".into(),
        born_ms: 1_790_000_000_000,
        seed: [6; SEED],
    }
}

fn counted(count: u32) -> BirthBatch {
    let names = Names::Counted {
        stem: "scout".into(),
        count,
    };
    BirthBatch::new(template(), names, Args::Same([7; 32]), 0).unwrap()
}

#[test]
fn a_certificate_is_the_canonical_map_of_its_fields() {
    for born_ms in [
        0,
        127,
        128,
        255,
        256,
        65_535,
        65_536,
        u64::from(u32::MAX),
        u64::MAX,
    ] {
        for own in ["a", "a-name-that-makes-the-whole-one-longer-than-31-bytes"] {
            let said = Template {
                born_ms,
                ..template()
            };
            let names = Names::listed([own]).unwrap();
            let batch = BirthBatch::new(said, names, Args::Same([7; 32]), 0).unwrap();
            let mut map = Writer::new();
            map.open_map(11).unwrap();
            let nonce = [&[6; SEED][..], &[0; 4]].concat();
            let whole = format!("sre/root/{own}");
            for (name, value) in [
                ("args", &[7; 32][..]),
                ("behaviour", b""),
                ("born_ms", b""),
                ("grant", &[5; 32]),
                ("intent", &[2; 32]),
                ("name", b""),
                ("nonce", &nonce),
                ("package", &[4; 32]),
                ("parent", &[3; 32]),
                ("runtime", &[1; 32]),
                ("v", b""),
            ] {
                map.key(name).unwrap();
                match name {
                    "behaviour" => map.text("sre.Scout"),
                    "name" => map.text(&whole),
                    "born_ms" => map.unsigned(born_ms),
                    "v" => map.unsigned(1),
                    _ => map.bytes(value),
                }
                .unwrap();
            }
            map.close().unwrap();
            assert_eq!(batch.certificate(0).unwrap(), map.finish().unwrap());
        }
    }
}

#[test]
fn every_members_path_leads_to_the_root_of_all() {
    for count in [1, 2, 255, 256, 257, 511, 512, 513, 1000, 1537] {
        let batch = counted(count);
        for position in [0, 1, 254, 255, 256, count / 2, count - 1] {
            let Ok(id) = batch.id(position) else { continue };
            let path = batch.path(position, batch.tops()).unwrap();
            verify_inclusion(
                position.into(),
                count.into(),
                &leaf_hash(&id),
                &path,
                &batch.root(),
            )
            .unwrap();
        }
    }
}

#[test]
fn a_part_made_again_has_the_same_members_and_paths() {
    let whole = counted(600);
    let names = Names::Counted {
        stem: "scout".into(),
        count: 88,
    };
    let part = BirthBatch::new(template(), names, Args::Same([7; 32]), 512).unwrap();
    assert_eq!(part.root(), whole.tops()[2]);
    assert_eq!(
        part.certificate(599).unwrap(),
        whole.certificate(599).unwrap()
    );
    assert_eq!(
        part.path(512, whole.tops()).unwrap(),
        whole.path(512, whole.tops()).unwrap()
    );
    assert!(part.id(511).is_err() && part.id(600).is_err());
    assert!(part.path(512, &whole.tops()[..2]).is_err());
}

#[test]
fn names_that_no_agent_may_have_are_refused() {
    let long = "a".repeat(MAX_NAME);
    for name in [
        "", "/a", "A", "a/", "a//b", "-a/-b", "é", "a b", "a\0", &long,
    ] {
        let names = Names::listed([name]).unwrap();
        assert!(
            BirthBatch::new(template(), names, Args::Same([0; 32]), 0).is_err(),
            "{name:?}"
        );
    }
    for name in ["a", "0", "a.b_c-d", "a/b"] {
        let names = Names::listed([name]).unwrap();
        assert!(
            BirthBatch::new(template(), names, Args::Same([0; 32]), 0).is_ok(),
            "{name:?}"
        );
    }
}

#[test]
fn counts_that_do_not_agree_are_refused() {
    let names = |count| Names::Counted {
        stem: "a".into(),
        count,
    };
    assert!(BirthBatch::new(template(), names(0), Args::Same([0; 32]), 0).is_err());
    assert!(
        BirthBatch::new(
            template(),
            names(MAX_MEMBERS as u32 + 1),
            Args::Same([0; 32]),
            0
        )
        .is_err()
    );
    assert!(BirthBatch::new(template(), names(2), Args::Each(vec![[0; 32]].into()), 0).is_err());
    assert!(BirthBatch::new(template(), names(2), Args::Same([0; 32]), 255).is_err());
}

proptest! {
    #[test]
    fn another_seed_place_name_or_argument_is_another_agent(count in 1_u32..600, at in 0_u32..600, flip in 0_usize..4) {
        let at = at % count;
        let batch = counted(count);
        let mut said = template();
        let mut args = [7; 32];
        let mut own = format!("scout-{at}");
        match flip {
            0 => said.seed[0] ^= 1,
            1 => args[31] ^= 1,
            2 => own.push('x'),
            _ => said.parent[0] ^= 1,
        }
        let first = at / PART as u32 * PART as u32;
        let names: Vec<String> = (first..=at).map(|p| if p == at { own.clone() } else { format!("scout-{p}") }).collect();
        let other = BirthBatch::new(said, Names::listed(names.iter().map(String::as_str)).unwrap(), Args::Same(args), first).unwrap();
        prop_assert_ne!(other.id(at).unwrap(), batch.id(at).unwrap());
    }
}
