//! TLS on both sides of an exchange that is looked into: ended towards the command, begun towards the upstream.
use std::sync::Arc;

use queenright_core::egress::host::Host;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, ClientConfig, Error, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::authority::Authority;
use super::exchange::Failed;
use super::proxy::Bounds;
use super::stream::Stream;

/// The one protocol that is spoken inside.
pub(super) const HTTP: &[u8] = b"http/1.1";
pub(super) const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// How a tunnel is opened: as whom, what verifies the upstream, and which header of the command's never goes on.
#[derive(Debug, Clone)]
pub struct Opening {
    pub authority: Arc<Authority>,
    pub roots: Arc<RootCertStore>,
    pub header: String,
}

/// The certificates of a PEM text as the only roots. The reason in words for a text that holds none, or no certificate.
pub fn roots_of(pem: &str) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    for one in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let one = one.map_err(|wrong| format!("not PEM: {wrong}"))?;
        roots
            .add(one)
            .map_err(|wrong| format!("not a root certificate: {wrong}"))?;
    }
    if roots.is_empty() {
        return Err("it holds no certificate".into());
    }
    Ok(Arc::new(roots))
}

/// Answers the command's handshake as its host.
pub(super) async fn accept(
    client: TcpStream,
    host: &Host,
    opening: &Opening,
    bounds: &Bounds,
) -> Result<Stream, Failed> {
    let Host::Name(name) = host else {
        return Err(Failed::new("tls", 0, "TLS is opened for names only"));
    };
    let config = opening
        .authority
        .server(name)
        .map_err(|_| Failed::new("tls", 0, "no certificate could be made for the host"))?;
    let handshake = TlsAcceptor::from(Arc::new(config)).accept(client);
    let stream = timeout(bounds.head, handshake)
        .await
        .map_err(|_| Failed::new("slow", 0, "the TLS handshake did not come in time"))?
        .map_err(|_| Failed::new("tls", 0, "no TLS for this host: another name, another protocol, or its certificate was refused"))?;
    Ok(Stream::Tls(Box::new(stream.into())))
}

/// TLS with the upstream, whose name and chain are verified.
pub(super) async fn connect(
    upstream: TcpStream,
    host: &Host,
    opening: &Opening,
    bounds: &Bounds,
) -> Result<Stream, Failed> {
    let setup = |_| Failed::new("unverified", 502, "TLS with the host could not be set up");
    let Host::Name(name) = host else {
        return Err(Failed::new("tls", 502, "TLS is opened for names only"));
    };
    let name = ServerName::try_from(name.to_string())
        .map_err(|_| Failed::new("unverified", 502, "no certificate can be for this name"))?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(VERSIONS)
        .map_err(setup)?
        .with_root_certificates(opening.roots.clone())
        .with_no_client_auth();
    config.alpn_protocols = vec![HTTP.to_vec()];
    config.resumption = Resumption::disabled();
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, upstream);
    let stream = timeout(bounds.reach, handshake)
        .await
        .map_err(|_| {
            Failed::new(
                "unverified",
                504,
                "the host's TLS handshake did not come in time",
            )
        })?
        .map_err(|wrong| Failed::new("unverified", 502, reason(&wrong)))?;
    Ok(Stream::Tls(Box::new(stream.into())))
}

fn reason(wrong: &std::io::Error) -> &'static str {
    match wrong.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(Error::InvalidCertificate(certificate)) => match certificate {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the host's certificate has expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the host's certificate is not valid yet"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the host's certificate is for another name"
            }
            CertificateError::UnknownIssuer => {
                "the host's certificate is of no authority that is trusted for it"
            }
            _ => "the host's certificate is not valid",
        },
        Some(Error::NoApplicationProtocol) => "the host speaks no HTTP/1.1",
        Some(_) => "the host's TLS handshake failed",
        None => "the connection broke in the host's TLS handshake",
    }
}
