//! TLS: certificates, versions, cipher suites, and who may connect.
//!
//! rustls with ring. It knows TLS 1.2 and 1.3 only, and only suites with forward secrecy and
//! authenticated encryption; what else Prometheus' exporters could be told is left out with a
//! warning as long as something remains.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};

use super::clients::{self, ClientAuth};
use super::settings::Reader;
use crate::yaml::{At, List, Place, Section, Setting, flag, text, texts};

/// Suites that Go knows and rustls does not: without forward secrecy, or in CBC mode.
const SUITES_ABSENT: [&str; 8] = [
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
];

const KEYS: [&str; 13] = [
    "cert_file",
    "cert",
    "key_file",
    "key",
    "client_ca_file",
    "client_ca",
    "client_auth_type",
    "client_allowed_sans",
    "min_version",
    "max_version",
    "cipher_suites",
    "curve_preferences",
    "prefer_server_cipher_suites",
];

/// The section as written.
struct Written {
    cert: Option<Pem>,
    key: Option<Pem>,
    client_ca: Option<Pem>,
    client_auth: Option<Setting<String>>,
    allowed_names: Option<List<String>>,
    min_version: Option<Setting<String>>,
    max_version: Option<Setting<String>>,
    suites: Option<List<String>>,
    curves: Option<List<String>>,
    prefers_own_order: bool,
}

/// What a file, or the text in its stead, holds.
struct Pem {
    place: Place,
    /// Where it comes from, for messages.
    source: String,
    /// `None` if it could not be read, which has been told then.
    bytes: Option<Vec<u8>>,
}

/// Reads `tls_server_config`; nothing in it means no TLS.
pub(super) fn read(at: &At<'_>, reader: &mut Reader<'_>) -> Option<Arc<ServerConfig>> {
    let section = Section::new(at, &KEYS, &mut reader.problems);
    if section.is_empty() {
        return None;
    }
    let place = section.place();
    let written = Written::read(&section, reader);
    let chain = written.chain(place, reader);
    let key = written.key(place, reader);
    let versions = written.versions(place, reader);
    let provider = Arc::new(CryptoProvider {
        cipher_suites: written.suites(&versions, reader),
        kx_groups: written.groups(reader),
        ..ring::default_provider()
    });
    let verifier = written.verifier(place, &provider, reader);
    if !reader.problems.is_empty() {
        return None;
    }
    match build(provider, &versions, verifier?, chain?, key?) {
        Ok(mut config) => {
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            config.ignore_client_order = written.prefers_own_order;
            Some(Arc::new(config))
        }
        Err(error) => {
            let place = written.key.as_ref().map_or(place, |key| &key.place);
            let message = format!("certificate and key cannot be used together: {error}");
            reader.problems.add(place, message);
            None
        }
    }
}

fn build(
    provider: Arc<CryptoProvider>,
    versions: &[&'static SupportedProtocolVersion],
    verifier: Arc<dyn ClientCertVerifier>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
}

impl Written {
    fn read(section: &Section<'_>, reader: &mut Reader<'_>) -> Self {
        let cert = reader.pem(section, ["cert_file", "cert"]);
        let key = reader.pem(section, ["key_file", "key"]);
        let client_ca = reader.pem(section, ["client_ca_file", "client_ca"]);
        let problems = &mut reader.problems;
        let prefers = section.read("prefer_server_cipher_suites", problems, flag);
        Self {
            cert,
            key,
            client_ca,
            client_auth: section.setting("client_auth_type", problems, text),
            allowed_names: section.setting("client_allowed_sans", problems, texts),
            min_version: section.setting("min_version", problems, text),
            max_version: section.setting("max_version", problems, text),
            suites: section.setting("cipher_suites", problems, texts),
            curves: section.setting("curve_preferences", problems, texts),
            prefers_own_order: prefers.unwrap_or(true),
        }
    }

    fn chain(
        &self,
        place: &Place,
        reader: &mut Reader<'_>,
    ) -> Option<Vec<CertificateDer<'static>>> {
        let Some(cert) = &self.cert else {
            reader.problems.add(place, "needs cert_file (or cert) to serve over TLS");
            return None;
        };
        let chain = certificates(cert, reader)?;
        if let Some(Err(error)) = chain.first().map(webpki::EndEntityCert::try_from) {
            let message = format!("{} holds a certificate that is none: {error}", cert.source);
            reader.problems.add(&cert.place, message);
        }
        Some(chain)
    }

    fn key(&self, place: &Place, reader: &mut Reader<'_>) -> Option<PrivateKeyDer<'static>> {
        let Some(key) = &self.key else {
            reader.problems.add(place, "needs key_file (or key) to serve over TLS");
            return None;
        };
        match PrivateKeyDer::from_pem_slice(key.bytes.as_ref()?) {
            Ok(key) => Some(key),
            Err(_) => {
                let message = format!(
                    "{} holds no private key in PEM form (one with a passphrase cannot be used)",
                    key.source
                );
                reader.problems.add(&key.place, message);
                None
            }
        }
    }

    /// The versions allowed, newest first.
    fn versions(
        &self,
        place: &Place,
        reader: &mut Reader<'_>,
    ) -> Vec<&'static SupportedProtocolVersion> {
        let min = self.min_version.as_ref().map_or(Some(12), |min| version(min, reader));
        let max = self.max_version.as_ref().map_or(Some(13), |max| version(max, reader));
        let (Some(min), Some(max)) = (min, max) else { return Vec::new() };
        let numbered = [(13, &TLS13), (12, &TLS12)];
        let usable: Vec<&SupportedProtocolVersion> =
            numbered.iter().filter(|v| (min..=max).contains(&v.0)).map(|v| v.1).collect();
        let max_place = self.max_version.as_ref().map_or(place, |max| &max.place);
        if usable.is_empty() {
            let message = "leaves no version: TLS12 and TLS13 can be served, min_version first";
            reader.problems.add(max_place, message);
        } else if let Some(written) = self.min_version.as_ref().filter(|_| min < 12) {
            reader.warnings.add(&written.place, "TLS12 is the oldest version that is served");
        }
        usable
    }

    /// The suites of TLS 1.2 that were listed, in that order; those of TLS 1.3 are always there.
    fn suites(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        reader: &mut Reader<'_>,
    ) -> Vec<SupportedCipherSuite> {
        let all = ring::ALL_CIPHER_SUITES;
        let Some(list) = self.suites.as_ref().filter(|list| !list.value.is_empty()) else {
            return all.to_vec();
        };
        let newest = all.iter().filter(|suite| suite.tls13().is_some());
        let mut suites: Vec<SupportedCipherSuite> = newest.copied().collect();
        for name in &list.value {
            let known = all.iter().find(|suite| suite_name(suite) == name.value);
            if let Some(suite) = known {
                if suite.tls13().is_none() && !suites.contains(suite) {
                    suites.push(*suite);
                }
            } else if SUITES_ABSENT.contains(&name.value.as_str()) {
                reader.warnings.add(&name.place, "is left out: it is not considered secure");
            } else {
                let names: Vec<String> = all.iter().map(suite_name).collect();
                let names = names.join(", ");
                reader.problems.add(&name.place, format!("must be one of {names}"));
            }
        }
        let is_usable = |suite: &SupportedCipherSuite| versions.contains(&suite.version());
        if !versions.is_empty() && !suites.iter().any(is_usable) {
            let message = "leaves no cipher suite for the versions allowed";
            reader.problems.add(&list.place, message);
        }
        suites
    }

    fn groups(&self, reader: &mut Reader<'_>) -> Vec<&'static dyn SupportedKxGroup> {
        use ring::kx_group::{SECP256R1, SECP384R1, X25519};
        let all = [("X25519", X25519), ("CurveP256", SECP256R1), ("CurveP384", SECP384R1)];
        let everything = || all.iter().map(|group| group.1).collect();
        let Some(list) = self.curves.as_ref().filter(|list| !list.value.is_empty()) else {
            return everything();
        };
        let mut groups: Vec<&'static dyn SupportedKxGroup> = Vec::new();
        let mut is_told = false;
        for name in &list.value {
            if let Some((_, group)) = all.iter().find(|group| group.0 == name.value) {
                groups.push(*group);
            } else if name.value == "CurveP521" {
                reader.warnings.add(&name.place, "is left out: it is not available");
            } else {
                let message = "must be one of X25519, CurveP256, CurveP384";
                reader.problems.add(&name.place, message);
                is_told = true;
            }
        }
        if groups.is_empty() && !is_told {
            let message = "leaves no curve: name X25519, CurveP256 or CurveP384";
            reader.problems.add(&list.place, message);
        }
        groups
    }

    fn verifier(
        &self,
        place: &Place,
        provider: &Arc<CryptoProvider>,
        reader: &mut Reader<'_>,
    ) -> Option<Arc<dyn ClientCertVerifier>> {
        let place = self.client_auth.as_ref().map_or(place, |auth| &auth.place);
        let name = self.client_auth.as_ref().map_or("", |auth| auth.value.as_str());
        let Some(auth) = ClientAuth::of(name) else {
            let message = format!("must be one of {}", ClientAuth::NAMES.join(", "));
            reader.problems.add(place, message);
            return None;
        };
        let roots = match &self.client_ca {
            Some(ca) => Some(Arc::new(roots(ca, reader)?)),
            None => None,
        };
        if roots.is_none() && auth.verifies() {
            reader.problems.add(place, "needs client_ca_file (or client_ca) to verify with");
            return None;
        }
        if let Some(ca) = self.client_ca.as_ref().filter(|_| auth == ClientAuth::None) {
            let message = "needs a client_auth_type that asks clients for certificates";
            reader.problems.add(&ca.place, message);
        }
        let names = self.allowed_names.as_ref();
        if let Some(names) = names.filter(|_| !auth.is_mandatory()) {
            let message = "needs client_auth_type RequireAnyClientCert or \
                           RequireAndVerifyClientCert: others admit clients without a certificate";
            reader.problems.add(&names.place, message);
        }
        for name in names.iter().flat_map(|names| &names.value) {
            if name.value.contains('@') && !name.value.contains("://") {
                let message = "e-mail addresses are not looked at: use a DNS name, an IP address \
                               or a URI of the client's certificate";
                reader.problems.add(&name.place, message);
            }
        }
        let names = names.map(|list| list.value.iter().map(|name| name.value.clone()).collect());
        clients::verifier(auth, roots, names, provider)
            .map_err(|error| reader.problems.add(place, error.to_string()))
            .ok()
    }
}

fn version(written: &Setting<String>, reader: &mut Reader<'_>) -> Option<u8> {
    match written.value.as_str() {
        "TLS13" => Some(13),
        "TLS12" => Some(12),
        "TLS11" => Some(11),
        "TLS10" => Some(10),
        _ => {
            reader.problems.add(&written.place, "must be TLS12 or TLS13");
            None
        }
    }
}

/// The name of a suite as Go and the standards write it.
fn suite_name(suite: &SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite()).replace("TLS13_", "TLS_")
}

fn certificates(pem: &Pem, reader: &mut Reader<'_>) -> Option<Vec<CertificateDer<'static>>> {
    let bytes = pem.bytes.as_ref()?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match read {
        Ok(found) if !found.is_empty() => Some(found),
        _ => {
            let message = format!("{} holds no certificate in PEM form", pem.source);
            reader.problems.add(&pem.place, message);
            None
        }
    }
}

fn roots(ca: &Pem, reader: &mut Reader<'_>) -> Option<RootCertStore> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(ca, reader)? {
        if let Err(error) = store.add(certificate) {
            let message = format!("{} holds a certificate that is no CA's: {error}", ca.source);
            reader.problems.add(&ca.place, message);
        }
    }
    Some(store)
}

impl Reader<'_> {
    /// The contents of the file named under the first key, or the text under the second.
    fn pem(&mut self, section: &Section<'_>, keys: [&str; 2]) -> Option<Pem> {
        let not_empty = |setting: &Setting<String>| !setting.value.is_empty();
        let file = section.setting(keys[0], &mut self.problems, text).filter(not_empty);
        let text = section.setting(keys[1], &mut self.problems, text).filter(not_empty);
        let Some(file) = file else {
            let Setting { place, value } = text?;
            return Some(Pem { place, source: "it".to_owned(), bytes: Some(value.into_bytes()) });
        };
        if let Some(text) = text {
            let message = format!("is given beside {}: keep one of them", keys[0]);
            self.problems.add(&text.place, message);
        }
        let path = self.directory.join(Path::new(&file.value));
        let source = path.display().to_string();
        match self.files.read(&path) {
            Ok(bytes) => Some(Pem { place: file.place, source, bytes: Some(bytes) }),
            Err(error) => {
                self.problems.add(&file.place, format!("cannot read {source}: {error}"));
                Some(Pem { place: file.place, source, bytes: None })
            }
        }
    }
}
