//! What must hold for any bytes whatever, one function a decoder. Each panics when its promise is broken.
//!
//! The fuzzers of `fuzz/` run these functions for as long as they are let; `tests/seeds.rs` runs them over every file
//! of `fuzz/seeds` in `make test`. No product code depends on this crate.
pub mod batch;
pub mod canonical;
pub mod egress;
pub mod filter;
pub mod input;
pub mod launcher;
pub mod merkle;
pub mod names;
pub mod operator_key;
pub mod sanitize;
pub mod seal;
pub mod signature;
pub mod sshsig;
pub mod view;

/// A property: does nothing, or panics.
pub type Property = fn(&[u8]);

/// Every target by the name of its fuzzer and of its directory of seeds.
pub const TARGETS: &[(&str, Property)] = &[
    ("batch_letter", batch::letter),
    ("batch_packet", batch::packet),
    ("canonical_read", canonical::read),
    ("canonical_write", canonical::write),
    ("egress_answer", egress::answer),
    ("egress_chunks", egress::chunks),
    ("egress_request", egress::request),
    ("filter", filter::any_query_over_any_row),
    ("launcher_message", launcher::message),
    ("merkle_given", merkle::given),
    ("merkle_made", merkle::made),
    ("names", names::patterns),
    ("operator_key", operator_key::file),
    ("sanitize", sanitize::text),
    ("seal_given", seal::given),
    ("seal_made", seal::made),
    ("signature_given", signature::given),
    ("signature_made", signature::made),
    ("sshsig_armor", sshsig::armor),
    ("sshsig_edited", sshsig::edited),
    ("sshsig_line", sshsig::line),
    ("view", view::any_story),
];
