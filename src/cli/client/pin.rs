//! TLS to the gateway of this machine: not any certificate that some authority signed for some name, but the configured one.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::cli::client::ClientError;

/// A client that talks to whoever has the key of the certificate in `path`, and to nobody else.
pub fn only(path: &Path) -> Result<Arc<ClientConfig>, ClientError> {
    let failed = |source| ClientError::Certificate { path: path.to_owned(), source };
    let certificate = CertificateDer::from_pem_file(path).map_err(|error| failed(error.into()))?;
    let provider = Arc::new(ring::default_provider());
    let pin = Pin { certificate: certificate.into_owned(), provider: Arc::clone(&provider) };
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| failed(error.into()))?;
    Ok(Arc::new(builder.dangerous().with_custom_certificate_verifier(Arc::new(pin)).with_no_client_auth()))
}

#[derive(Debug)]
struct Pin {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pin {
    /// Name and dates do not matter: this very certificate was put there by whoever owns the machine.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match *end_entity == self.certificate {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::path::Path;
    use std::thread;

    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ServerConfig, ServerConnection, StreamOwned};

    use super::*;
    use crate::cli::client::{Client, ClientError};
    use crate::config::{self, Reader};

    /// Made for this test; nobody else trusts it.
    const OURS: &str = "\
-----BEGIN CERTIFICATE-----
MIIBjTCCATOgAwIBAgIUD80QYXCHyvOSzTq7I9inKN66JxUwCgYIKoZIzj0EAwIw
GzEZMBcGA1UEAwwQa2FmY2xhdyB0ZXN0IG9uZTAgFw0yNjExMjEwNzE4MjFaGA8y
MTI2MTAyODA3MTgyMVowGzEZMBcGA1UEAwwQa2FmY2xhdyB0ZXN0IG9uZTBZMBMG
ByqGSM49AgEGCCqGSM49AwEHA0IABFMnJrC4NdhbY0+B2iMPfyOHosDbLy3mXIMF
03i/AKgHyO2BOkTY81wDMt6asErq+6DEFb123h4pKeH8puoiqymjUzBRMB0GA1Ud
DgQWBBSaVJpIPmXG7R77MZP3hV61EvwiPzAfBgNVHSMEGDAWgBSaVJpIPmXG7R77
MZP3hV61EvwiPzAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIDBu
zFTqMWU70Qpo0W6SnGVMD63H5+g+NQQf15NwRHsYAiEAzp/pj2Ta6qQmnbEGzTWd
7ulC1o7dto5yJRLAElMU5j8=
-----END CERTIFICATE-----
";
    const OUR_KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgPIPKoqCZzA6bhJ8K
YtUiGyhgjyqN10whYn33t9dTCiihRANCAARTJyawuDXYW2NPgdojD38jh6LA2y8t
5lyDBdN4vwCoB8jtgTpE2PNcAzLemrBK6vugxBW9dt4eKSnh/KbqIqsp
-----END PRIVATE KEY-----
";
    const ANOTHER: &str = "\
-----BEGIN CERTIFICATE-----
MIIBjTCCATOgAwIBAgIUMdDmX6pPa57Eda7tFQGnKxtuuakwCgYIKoZIzj0EAwIw
GzEZMBcGA1UEAwwQa2FmY2xhdyB0ZXN0IHR3bzAgFw0yNjExMjEwNzE4MjFaGA8y
MTI2MTAyODA3MTgyMVowGzEZMBcGA1UEAwwQa2FmY2xhdyB0ZXN0IHR3bzBZMBMG
ByqGSM49AgEGCCqGSM49AwEHA0IABIbiLfiFy3rhrd7w8ifBH9Sj33TMQQueY2pu
3hHNNKI59dAUvSHiuxvoS2RnFZcV3Sy0DgHmu2xlIDE2r76B6Z2jUzBRMB0GA1Ud
DgQWBBTwmLeaHpci1pJa/azFK+AN3+/unDAfBgNVHSMEGDAWgBTwmLeaHpci1pJa
/azFK+AN3+/unDAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIQDI
Ip9zTVOTcjDT+Koeu/fd2OxmE2WIjfBoxpZMLrCM2gIgP5x8exZUrfcKORUblHzh
aktP5ejwNwVkKFy72cZizBo=
-----END CERTIFICATE-----
";

    /// A gateway that speaks TLS with our key and answers every request with `7`.
    fn serve(listener: TcpListener) {
        let certificate = CertificateDer::from_pem_slice(OURS.as_bytes()).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(OUR_KEY.as_bytes()).expect("a key");
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("versions");
        let config = builder.with_no_client_auth().with_single_cert(vec![certificate], key).expect("a pair");
        let config = Arc::new(config);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let session = ServerConnection::new(Arc::clone(&config)).expect("a session");
                let mut stream = StreamOwned::new(session, stream);
                if stream.read(&mut [0; 4096]).is_ok() {
                    let _ = stream
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n7")
                        .and_then(|()| stream.flush());
                }
            }
        });
    }

    fn ask(home: &Path, certificate: &str) -> Result<serde_json::Value, ClientError> {
        std::fs::write(home.join("cert.pem"), certificate).expect("written");
        let loaded = config::load(
            [("KAFCLAW_HOME".to_owned(), home.display().to_string())].into_iter().collect(),
            &Reader::disk(),
        );
        Client::find(&loaded.expect("a configuration").config)?.get("status")
    }

    #[test]
    fn only_the_configured_certificate_is_talked_to() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        serve(listener);
        let home = tempfile::tempdir().expect("a folder");
        let cert = home.path().join("cert.pem");
        let text =
            format!(r#"{{"gateway": {{"dashboardPort": {port}, "tlsCert": "{0}", "tlsKey": "{0}"}}}}"#, cert.display());
        std::fs::create_dir_all(home.path().join(".kafclaw")).expect("made");
        std::fs::write(home.path().join(".kafclaw/config.json"), text).expect("written");
        assert_eq!(ask(home.path(), OURS).expect("an answer"), 7);
        assert!(matches!(ask(home.path(), ANOTHER), Err(ClientError::Broken { .. })));
        assert!(matches!(ask(home.path(), "no certificate"), Err(ClientError::Certificate { .. })));
    }
}
