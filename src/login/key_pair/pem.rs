//! PKCS#8 in PEM: what OpenSSL reads. Ed25519 by RFC 8410, RSA by RFC 8017; encrypted with PBES2 (RFC 8018).

use super::{KeyPair, failed, random};
use crate::error::Result;
use pkcs8::der::asn1::ObjectIdentifier;
use pkcs8::der::{Decode as _, Encode as _};
use pkcs8::pkcs5::pbes2::Parameters;
use pkcs8::spki::AlgorithmIdentifierRef;
use pkcs8::{LineEnding, PrivateKeyInfo};
use rsa::pkcs8::EncodePrivateKey as _;
use ssh_key::private::KeypairData;
use zeroize::Zeroizing;

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Rounds of PBKDF2 with HMAC-SHA-256, as current advice asks for.
const ROUNDS: u32 = 600_000;

pub(super) fn encode(pair: &KeyPair, passphrase: Option<&[u8]>) -> Result<Zeroizing<String>> {
    let der = Zeroizing::new(private_key_info(pair)?);
    let info = PrivateKeyInfo::from_der(&der).map_err(failed)?;
    let Some(passphrase) = passphrase else {
        let document = pkcs8::SecretDocument::try_from(&info).map_err(failed)?;
        return document.to_pem("PRIVATE KEY", LineEnding::LF).map_err(failed);
    };
    let (salt, iv) = (random::<16>()?, random::<16>()?);
    let parameters = Parameters::pbkdf2_sha256_aes256cbc(ROUNDS, &salt, &iv).map_err(failed)?;
    let document = info.encrypt_with_params(parameters, passphrase).map_err(failed)?;
    document.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).map_err(failed)
}

/// The structure of RFC 5958 in DER.
fn private_key_info(pair: &KeyPair) -> Result<Vec<u8>> {
    match pair.private.key_data() {
        KeypairData::Ed25519(keys) => {
            // An OCTET STRING of 32 bytes inside the OCTET STRING of the structure.
            let mut private_key = Zeroizing::new(vec![4, 32]);
            private_key.extend_from_slice(keys.private.as_ref());
            let algorithm = AlgorithmIdentifierRef { oid: ED25519, parameters: None };
            PrivateKeyInfo::new(algorithm, &private_key).to_der().map_err(failed)
        }
        KeypairData::Rsa(keys) => {
            let number = |number: &ssh_key::Mpint| rsa::BigUint::from_bytes_be(number.as_bytes());
            let primes = vec![number(&keys.private.p), number(&keys.private.q)];
            let (modulus, exponent) = (number(&keys.public.n), number(&keys.public.e));
            let private = number(&keys.private.d);
            let key = rsa::RsaPrivateKey::from_components(modulus, exponent, private, primes);
            let key = key.map_err(failed)?;
            Ok(key.to_pkcs8_der().map_err(failed)?.as_bytes().to_vec())
        }
        _ => Err(failed("no such form for this type")),
    }
}
