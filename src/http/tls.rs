//! TLS at the door: certificate and key from PEM files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("could not read the certificate {}", path.display())]
    Certificate { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("could not read the private key {}", path.display())]
    Key { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("certificate and key do not fit together")]
    Pair { source: rustls::Error },
}

pub(super) fn acceptor(cert: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let of_cert = |source| TlsError::Certificate { path: cert.to_owned(), source };
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(cert).map_err(of_cert)?.collect::<Result<_, _>>().map_err(of_cert)?;
    let of_key = |source| TlsError::Key { path: key.to_owned(), source };
    let key = PrivateKeyDer::from_pem_file(key).map_err(of_key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Pair { source })?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|source| TlsError::Pair { source })?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
