//! The certificate authority of one swarm, and the leaves it signs. Its key is made here and leaves this value never: a restart
//! makes another. Times are the machine's, which whoever verifies reads too.
use std::fmt;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use time::{Duration, OffsetDateTime};

use super::tls::{HTTP, VERSIONS};

/// How long a certificate of an authority is good for, and a leaf's. No command lasts longer than a leaf.
const LIFE: Duration = Duration::days(3);
const LEAF_LIFE: Duration = Duration::days(1);
/// A clock that is put back a little must not make it one of the future.
const BEFORE: Duration = Duration::minutes(10);

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    roots: Arc<RootCertStore>,
    trusted: Vec<Vec<u8>>,
}

/// Why none could be made.
#[derive(Debug)]
pub struct AuthorityError(String);

impl fmt::Display for AuthorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AuthorityError {}

impl From<rcgen::Error> for AuthorityError {
    fn from(error: rcgen::Error) -> Self {
        Self(format!("no certificate could be made: {error}"))
    }
}

impl From<rustls::Error> for AuthorityError {
    fn from(error: rustls::Error) -> Self {
        Self(format!("TLS could not be set up: {error}"))
    }
}

impl Authority {
    /// A new one; `name` is for people. Reads the roots that this machine trusts: none is no error here, but then no upstream
    /// is verified by them.
    pub fn new(name: &str) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        // It signs leaves and no authority below it.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let now = OffsetDateTime::now_utc();
        (params.not_before, params.not_after) = (now - BEFORE, now + LIFE);
        let pem = params.self_signed(&key)?.pem();
        let trusted = rustls_native_certs::load_native_certs().certs;
        let mut roots = RootCertStore::empty();
        // What cannot be read as a root verifies nothing.
        let _ = roots.add_parsable_certificates(trusted.iter().cloned());
        Ok(Self {
            issuer: Issuer::new(params, key),
            pem,
            roots: Arc::new(roots),
            trusted: trusted.iter().map(|one| one.to_vec()).collect(),
        })
    }

    /// Its certificate, which is public.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The machine's roots when it was made, for verifying upstreams.
    pub fn roots(&self) -> Arc<RootCertStore> {
        self.roots.clone()
    }

    /// The same as they were read: DER.
    pub fn trusted(&self) -> &[Vec<u8>] {
        &self.trusted
    }

    /// A server that is this host and no other: whoever asks for another name, or for none, gets no certificate.
    pub(super) fn server(&self, host: &str) -> Result<ServerConfig, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        params
            .distinguished_name
            .push(DnType::CommonName, "queenright");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let now = OffsetDateTime::now_utc();
        (params.not_before, params.not_after) = (now - BEFORE, now + LEAF_LIFE);
        let leaf: CertificateDer<'static> = params.signed_by(&key, &self.issuer)?.into();
        let private = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|wrong| AuthorityError(wrong.to_owned()))?;
        let provider = Arc::new(ring::default_provider());
        let signing = provider.key_provider.load_private_key(private)?;
        let only = Only {
            host: host.to_owned(),
            key: Arc::new(CertifiedKey::new(vec![leaf], signing)),
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(VERSIONS)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(only));
        config.alpn_protocols = vec![HTTP.to_vec()];
        // One connection, one request: there is nothing to resume.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

/// Never shows its key.
impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}

#[derive(Debug)]
struct Only {
    host: String,
    key: Arc<CertifiedKey>,
}

impl ResolvesServerCert for Only {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        hello
            .server_name()
            .filter(|name| name.eq_ignore_ascii_case(&self.host))
            .map(|_| self.key.clone())
    }
}
