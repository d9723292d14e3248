//! OpenSSH public keys and SSHSIG signatures (OpenSSH's PROTOCOL.sshsig, PROTOCOL.u2f).
//!
//! The `ssh-key` crate parses; the verdict is our own strict Ed25519 rule. Only Ed25519, plain or in a security key.
use sha2::{Digest, Sha256};
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, HashAlg, LineEnding, PublicKey, Signature, SshSig};

use crate::error::{Error, Result};
use crate::signature;

/// A signature of a security key with the longest application OpenSSH writes is well below this.
pub const MAX_ARMOR: usize = 8 * 1024;
/// A key line is some 100 bytes and a comment.
pub const MAX_LINE: usize = 4 * 1024;
/// The namespaces we use are some 20 bytes.
pub const MAX_NAMESPACE: usize = 64;

const KIND_ED25519: &str = "ssh-ed25519";
const KIND_SK: &str = "sk-ssh-ed25519@openssh.com";
const HINT_NEW_KEY: &str = "make one with `ssh-keygen -t ed25519`";

// PROTOCOL.u2f: bits of the authenticator's flags byte.
const FLAG_TOUCHED: u8 = 0x01;
const FLAG_PIN: u8 = 0x04;

/// A public key fit to be enrolled.
#[derive(Clone)]
pub struct KeyLine {
    /// Type and base64, without options or comment: equal keys have equal lines.
    pub line: String,
    /// `SHA256:` and unpadded base64, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
    pub kind: &'static str,
    pub comment: String,
    pub public_key: [u8; signature::PUBLIC_KEY_LENGTH],
    data: KeyData,
    /// Of a security key: the digest of the application it signs for.
    application: Option<[u8; 32]>,
}

/// What a verified signature says.
pub struct Verified {
    pub fingerprint: String,
    pub kind: &'static str,
    /// A security key says that somebody touched it for this signature. Never set for a key in a file.
    pub touched: bool,
    /// A security key says that it checked a PIN or a finger.
    pub pin: bool,
    /// A security key's own count of signatures; 0 for a key in a file.
    pub counter: u32,
}

pub fn parse_key_line(line: &str) -> Result<KeyLine> {
    let line = line.trim();
    if line.len() > MAX_LINE || line.chars().any(char::is_control) {
        return Err(Error::malformed(format!(
            "a public key is one line of at most {MAX_LINE} bytes"
        )));
    }
    let kind = line.split(' ').next().unwrap_or_default();
    check_kind(kind)?;
    let key = PublicKey::from_openssh(line)
        .map_err(|_| Error::malformed(format!("the {kind} line does not parse")))?;
    let comment = key.comment().to_owned();
    from_data(KeyData::from(key), comment)
}

/// Refuse any type but the two, with the line that makes one that works.
pub(crate) fn check_kind(kind: &str) -> Result<()> {
    if kind == KIND_ED25519 || kind == KIND_SK {
        return Ok(());
    }
    let shown: String = kind
        .chars()
        .take(40)
        .filter(char::is_ascii_graphic)
        .collect();
    Err(Error::malformed(format!(
        "a key of type {shown:?}: only {KIND_ED25519} and {KIND_SK} can be enrolled"
    ))
    .hint(HINT_NEW_KEY))
}

pub(crate) fn from_data(data: KeyData, comment: String) -> Result<KeyLine> {
    let (kind, public_key, application) = match &data {
        KeyData::Ed25519(key) => (KIND_ED25519, key.0, None),
        KeyData::SkEd25519(key) => {
            // OpenSSH's own rule; it keeps a credential made for a web site from signing here.
            if !key.application().starts_with("ssh:") {
                return Err(Error::malformed(
                    "a security key whose application does not begin with \"ssh:\"",
                ));
            }
            (
                KIND_SK,
                key.public_key().0,
                Some(Sha256::digest(key.application()).into()),
            )
        }
        other => {
            check_kind(other.algorithm().as_str())?;
            return Err(Error::malformed(
                "a public key that is neither of the two types",
            ));
        }
    };
    signature::parse_public_key(&public_key)?;
    let line = PublicKey::new(data.clone(), "")
        .to_openssh()
        .map_err(|_| Error::malformed("a public key that cannot be written"))?;
    Ok(KeyLine {
        line: line.trim_end().to_owned(),
        fingerprint: data.fingerprint(HashAlg::Sha256).to_string(),
        kind,
        comment,
        public_key,
        data,
        application,
    })
}

/// Check an armoured SSHSIG over `message`: this key, this namespace, version 1, SHA-256 or SHA-512, nothing reserved.
///
/// Whether a touch is needed is the caller's rule: it reads `touched`.
pub fn verify(key_line: &str, namespace: &str, message: &[u8], armored: &str) -> Result<Verified> {
    let key = parse_key_line(key_line)?;
    check_namespace(namespace)?;
    if armored.len() > MAX_ARMOR {
        return Err(Error::malformed(format!(
            "an SSH signature of {} bytes, at most {MAX_ARMOR}",
            armored.len()
        )));
    }
    let signature = SshSig::from_pem(armored.trim())
        .map_err(|_| Error::malformed("the SSH signature does not parse"))?;
    // The parser overlooks some edits of the frame: what it read must be what was given, but for white space.
    let written = signature.to_pem(LineEnding::LF).unwrap_or_default();
    let visible = |text: &'_ str| {
        text.bytes()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect::<Vec<u8>>()
    };
    if visible(&written) != visible(armored) {
        return Err(Error::malformed(
            "the SSH signature is not in the form that ssh-keygen writes",
        ));
    }
    if signature.version() != SshSig::VERSION || !signature.reserved().is_empty() {
        return Err(Error::malformed(
            "an SSH signature of another version, or with something in its reserved field",
        ));
    }
    if signature.public_key() != &key.data {
        let other = signature.public_key().fingerprint(HashAlg::Sha256);
        return Err(Error::invalid_signature(format!(
            "signed by {other}, not by {}",
            key.fingerprint
        )));
    }
    if signature.namespace() != namespace {
        let other: String = signature
            .namespace()
            .chars()
            .filter(char::is_ascii_graphic)
            .take(MAX_NAMESPACE)
            .collect();
        return Err(Error::invalid_signature(format!(
            "signed for {other:?}, not for {namespace:?}"
        )));
    }
    if signature.algorithm().as_str() != key.kind {
        return Err(Error::invalid_signature(
            "the signature's type is not its key's",
        ));
    }
    let signed = SshSig::signed_data(namespace, signature.hash_alg(), message)
        .map_err(|_| Error::malformed("the signed data cannot be written"))?;
    let raw = signature.signature_bytes();
    let Some(application) = key.application else {
        signature::verify(&key.public_key, &signed, raw)?;
        return Ok(Verified {
            fingerprint: key.fingerprint,
            kind: key.kind,
            touched: false,
            pin: false,
            counter: 0,
        });
    };
    let Some((raw, &[flags, c0, c1, c2, c3])) = raw.split_last_chunk::<5>() else {
        return Err(Error::malformed(
            "a security key's signature without its flags and counter",
        ));
    };
    let mut attested = application.to_vec();
    attested.extend([flags, c0, c1, c2, c3]);
    attested.extend(Sha256::digest(&signed));
    signature::verify(&key.public_key, &attested, raw)?;
    Ok(Verified {
        fingerprint: key.fingerprint,
        kind: key.kind,
        touched: flags & FLAG_TOUCHED != 0,
        pin: flags & FLAG_PIN != 0,
        counter: u32::from_be_bytes([c0, c1, c2, c3]),
    })
}

/// The bytes an agent or key signs for an SSHSIG over `message` with SHA-512, as `ssh-keygen -Y sign` does.
pub fn payload(namespace: &str, message: &[u8]) -> Result<Vec<u8>> {
    check_namespace(namespace)?;
    SshSig::signed_data(namespace, HashAlg::Sha512, message)
        .map_err(|_| Error::malformed("the signed data cannot be written"))
}

/// The armoured form of what ssh-agent answered to `payload`: `blob` is the signature string of SSH_AGENT_SIGN_RESPONSE.
pub fn armor(key_line: &str, namespace: &str, blob: &[u8]) -> Result<String> {
    let key = parse_key_line(key_line)?;
    check_namespace(namespace)?;
    let signature = Signature::try_from(blob)
        .map_err(|_| Error::malformed("the agent's signature does not parse"))?;
    let written = Vec::<u8>::try_from(signature.clone());
    if written.as_deref() != Ok(blob) || signature.algorithm().as_str() != key.kind {
        return Err(Error::malformed(
            "the agent's signature is not one of this key's type",
        ));
    }
    finish(key.data, namespace, signature)
}

/// Sign with a key in memory.
pub(crate) fn sign(
    key: &signature::SigningKey,
    line: &KeyLine,
    namespace: &str,
    message: &[u8],
) -> Result<String> {
    let raw = key.sign(&payload(namespace, message)?);
    let signature = Signature::new(Algorithm::Ed25519, raw.to_vec())
        .map_err(|_| Error::malformed("the signature cannot be written"))?;
    finish(line.data.clone(), namespace, signature)
}

fn finish(key: KeyData, namespace: &str, signature: Signature) -> Result<String> {
    SshSig::new(key, namespace, HashAlg::Sha512, signature)
        .and_then(|signature| signature.to_pem(LineEnding::LF))
        .map_err(|_| Error::malformed("the SSH signature cannot be written"))
}

fn check_namespace(namespace: &str) -> Result<()> {
    if (1..=MAX_NAMESPACE).contains(&namespace.len())
        && namespace.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Ok(());
    }
    Err(Error::malformed(format!(
        "a namespace is 1 to {MAX_NAMESPACE} printable ASCII characters without spaces"
    )))
}

#[cfg(test)]
#[path = "sshsig_tests.rs"]
mod tests;
