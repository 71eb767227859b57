//! TLS to a broker for the probe: the handshake is carried through whatever the certificate, and then it is told how the certificate was.
//!
//! Nothing secret is sent before that. librdkafka, which sends what matters, checks certificates itself.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Security;
use super::fault::Fault;
use crate::base::error::chain;
use crate::link::roots::roots;

/// What the handshake showed.
pub struct Shaken {
    pub stream: TlsStream<TcpStream>,
    /// Seconds since the Unix epoch when the broker's certificate ends.
    pub ends: Option<i64>,
    /// How the certificate is judged.
    pub verdict: Result<(), Blemish>,
}

/// What is wrong with a certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Blemish {
    /// Nobody may trust it.
    Fatal(Fault),
    /// OpenSSL is more lenient in such things (names in the subject, old versions); it will judge.
    Doubtful(String),
}

pub async fn handshake(tcp: TcpStream, host: &str, security: &Security) -> Result<Shaken, Fault> {
    let witness = Arc::new(Witness::new(security)?);
    let config = config(security, witness.clone())?;
    let name = ServerName::try_from(host.to_owned()).map_err(|_| Fault::NameUnknown(host.to_owned()))?;
    let stream =
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map_err(|error| Fault::of_tls(&error))?;
    let seen = witness.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (ends, verdict) = seen.unwrap_or((None, Ok(())));
    Ok(Shaken { stream, ends, verdict })
}

fn config(security: &Security, witness: Arc<Witness>) -> Result<ClientConfig, Fault> {
    let other = |error: rustls::Error| Fault::Other(error.to_string());
    let builder = ClientConfig::builder_with_provider(witness.provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(other)?
        .dangerous()
        .with_custom_certificate_verifier(witness);
    let Some(client) = security.client() else { return Ok(builder.with_no_client_auth()) };
    let unreadable = |path: &std::path::Path, error: rustls::pki_types::pem::Error| {
        Fault::File(format!("{}: {}", path.display(), chain(&error)))
    };
    let certificates = CertificateDer::pem_file_iter(&client.certificate_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(&client.certificate_file, error))?;
    let key = PrivateKeyDer::from_pem_file(&client.key_file).map_err(|error| unreadable(&client.key_file, error))?;
    builder
        .with_client_auth_cert(certificates, key)
        .map_err(|error| Fault::File(format!("{}: {error}", client.certificate_file.display())))
}

type Seen = (Option<i64>, Result<(), Blemish>);

/// Judges certificates and lets all of them pass.
struct Witness {
    provider: Arc<rustls::crypto::CryptoProvider>,
    judge: Arc<WebPkiServerVerifier>,
    seen: Mutex<Option<Seen>>,
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness")
    }
}

impl Witness {
    fn new(security: &Security) -> Result<Self, Fault> {
        let roots = roots(security.ca_file()).map_err(|error| Fault::File(chain(&error)))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let judge = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        let judge = judge.map_err(|error| Fault::File(error.to_string()))?;
        Ok(Self { provider, judge, seen: Mutex::new(None) })
    }
}

fn blemish(error: rustls::Error) -> Blemish {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            Blemish::Fatal(Fault::CertificateExpired)
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => Blemish::Fatal(Fault::CertificateNotYet),
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature | CertificateError::Revoked,
        ) => Blemish::Fatal(Fault::CertificateUntrusted),
        error => Blemish::Doubtful(error.to_string()),
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let judged = self.judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let ends = super::certificate::not_after(end_entity).map(|end| end.timestamp());
        let seen = (ends, judged.map(drop).map_err(blemish));
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}
