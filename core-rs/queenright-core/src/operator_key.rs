//! An operator's own Ed25519 key, as OpenSSH keeps it. Lives in the operator's session, never in the supervisor.
use ssh_key::private::{Ed25519Keypair, Ed25519PrivateKey, KeypairData};
use ssh_key::public::{Ed25519PublicKey, KeyData};
use ssh_key::{Cipher, Kdf, LineEnding, PrivateKey};
use zeroize::Zeroizing;

use crate::error::{Error, Kind, Result};
use crate::signature::SigningKey;
use crate::sshsig::{self, KeyLine};

/// Salt of the key derivation, then the check number OpenSSH writes twice.
pub const SALT_LENGTH: usize = 20;
/// OpenSSH's own default since 9.4.
const BCRYPT_ROUNDS: u32 = 24;
/// More rounds than this would hold a terminal for minutes: such a file is a mistake or a trap.
const MAX_ROUNDS: u32 = 1_000;
/// An OpenSSH Ed25519 key file is some 400 bytes; the largest RSA ones some 7 kB.
const MAX_FILE: usize = 64 * 1024;

/// Wiped when dropped; it has no textual form but the key file.
pub struct OperatorKey {
    key: SigningKey,
    line: KeyLine,
}

impl OperatorKey {
    /// A key from 32 random bytes.
    pub fn generate(seed: &[u8], comment: &str) -> Result<Self> {
        if comment.chars().any(char::is_control) || comment.len() > 200 {
            return Err(Error::malformed(
                "a key's comment is at most 200 bytes on one line",
            ));
        }
        let key = SigningKey::from_seed(seed)?;
        let data = KeyData::Ed25519(Ed25519PublicKey(key.public_key()));
        let line = sshsig::from_data(data, comment.to_owned())?;
        Ok(Self { key, line })
    }

    /// Read an OpenSSH private key file. A passphrase must be given exactly if the file is encrypted.
    pub fn open(file: &[u8], passphrase: Option<&[u8]>) -> Result<Self> {
        let parsed = parse(file)?;
        let opened = match (parsed.is_encrypted(), passphrase) {
            (false, None) => parsed,
            (false, Some(_)) => {
                return Err(Error::malformed(
                    "a passphrase for a key file that is not encrypted",
                ));
            }
            (true, None) => {
                return Err(Error::new(
                    Kind::WrongPassphrase,
                    "the key file is encrypted: give its passphrase",
                ));
            }
            (true, Some(passphrase)) => {
                if let Kdf::Bcrypt { rounds, .. } = parsed.kdf()
                    && *rounds > MAX_ROUNDS
                {
                    return Err(Error::malformed(format!(
                        "a key file of {rounds} bcrypt rounds, at most {MAX_ROUNDS}"
                    )));
                }
                parsed.decrypt(passphrase).map_err(|_| {
                    Error::new(
                        Kind::WrongPassphrase,
                        "the passphrase does not open this key file",
                    )
                })?
            }
        };
        match opened.key_data() {
            KeypairData::Ed25519(pair) => {
                let key = SigningKey::from_seed(Zeroizing::new(pair.private.to_bytes()).as_ref())?;
                if key.public_key() != pair.public.0
                    || opened.public_key().key_data() != &KeyData::Ed25519(pair.public)
                {
                    return Err(Error::malformed(
                        "a key file whose public and private halves do not belong together",
                    ));
                }
                let line =
                    sshsig::from_data(KeyData::Ed25519(pair.public), opened.comment().to_owned())?;
                Ok(Self { key, line })
            }
            KeypairData::SkEd25519(_) => Err(Error::malformed(
                "the private half of this key is in a security key",
            )
            .hint("add it with `ssh-add FILE` and sign through ssh-agent")),
            _ => {
                sshsig::check_kind(opened.algorithm().as_str())?;
                Err(Error::malformed(
                    "a private key that is neither of the two types",
                ))
            }
        }
    }

    /// Type, base64 and comment, as a `.pub` file holds them.
    #[must_use]
    pub fn public_line(&self) -> String {
        format!("{} {}", self.line.line, self.line.comment)
            .trim_end()
            .to_owned()
    }

    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.line.fingerprint
    }

    /// An armoured SSHSIG over `message`.
    pub fn sign(&self, namespace: &str, message: &[u8]) -> Result<String> {
        sshsig::sign(&self.key, &self.line, namespace, message)
    }

    /// The key file: encrypted with AES-256-CTR under bcrypt, or plain if `protection` is None.
    pub fn to_openssh(&self, protection: Option<Protection<'_>>) -> Result<Zeroizing<String>> {
        let unwritable = |_| Error::malformed("the key file cannot be written");
        let pair = Ed25519Keypair {
            public: Ed25519PublicKey(self.key.public_key()),
            private: Ed25519PrivateKey::from_bytes(&self.key.seed()),
        };
        let plain = PrivateKey::new(KeypairData::Ed25519(pair), self.line.comment.clone())
            .map_err(unwritable)?;
        let Some(Protection { passphrase, salt }) = protection else {
            return plain.to_openssh(LineEnding::LF).map_err(unwritable);
        };
        if passphrase.is_empty() {
            return Err(Error::malformed("an empty passphrase protects nothing"));
        }
        let Some((salt, check)) = salt
            .split_last_chunk::<4>()
            .filter(|_| salt.len() == SALT_LENGTH)
        else {
            return Err(Error::malformed(format!(
                "a salt of {} bytes, not {SALT_LENGTH}",
                salt.len()
            )));
        };
        let kdf = Kdf::Bcrypt {
            salt: salt.to_vec(),
            rounds: BCRYPT_ROUNDS,
        };
        plain
            .encrypt_with(
                Cipher::Aes256Ctr,
                kdf,
                u32::from_be_bytes(*check),
                passphrase,
            )
            .and_then(|sealed| sealed.to_openssh(LineEnding::LF))
            .map_err(unwritable)
    }
}

/// What encrypts a key file: a passphrase and `SALT_LENGTH` random bytes.
pub struct Protection<'a> {
    pub passphrase: &'a [u8],
    pub salt: &'a [u8],
}

/// Is the key file encrypted?
pub fn needs_passphrase(file: &[u8]) -> Result<bool> {
    parse(file).map(|key| key.is_encrypted())
}

fn parse(file: &[u8]) -> Result<PrivateKey> {
    if file.len() > MAX_FILE {
        return Err(Error::malformed(format!(
            "a key file of {} bytes, at most {MAX_FILE}",
            file.len()
        )));
    }
    PrivateKey::from_openssh(file).map_err(|_| {
        Error::malformed("not an OpenSSH private key of type ssh-ed25519")
            .hint("make one with `ssh-keygen -t ed25519`; older PEM files convert with `ssh-keygen -p -f FILE`")
    })
}

#[cfg(test)]
#[path = "operator_key_tests.rs"]
mod tests;
