//! Authorities whose signatures under certificates are believed: those of a file, or those of the system.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Where Debian, JetPack and Fedora keep the authorities they trust.
const SYSTEM_ROOTS: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    #[error("the system has no list of authorities; name a file with the authority's certificate")]
    NoSystemList,
    #[error("could not read the authorities in {path}")]
    Read { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("{path} holds no certificate")]
    Empty { path: PathBuf },
}

pub fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, RootsError> {
    let system = || SYSTEM_ROOTS.iter().map(PathBuf::from).find(|path| path.exists());
    let path = ca_file.map(Path::to_owned).or_else(system).ok_or(RootsError::NoSystemList)?;
    let readable =
        CertificateDer::pem_file_iter(&path).map_err(|source| RootsError::Read { path: path.clone(), source })?;
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(readable.filter_map(Result::ok));
    if added == 0 { Err(RootsError::Empty { path }) } else { Ok(roots) }
}
