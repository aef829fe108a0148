//! From a secret to the key of a slot.

use super::digest::Hash;
use crate::error::{Error, Result};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroizing;

/// Bound on the memory of Argon2, in KiB: 4 GiB, which is what cryptsetup itself takes at most.
const MEMORY_KIB_MAX: u32 = 4 << 20;

/// Bound on the passes of Argon2 over its memory.
const PASSES_MAX: u32 = 1000;

/// Bound on memory times passes, in KiB: minutes. cryptsetup aims at two seconds.
const WORK_KIB_MAX: u64 = 64 << 20;

/// Bound on the lanes of Argon2; cryptsetup makes 4 at most.
const LANES_MAX: u32 = 16;

/// Bound on the iterations of PBKDF2: about a minute. cryptsetup aims at two seconds.
const ITERATIONS_MAX: u32 = 100_000_000;

/// Iterations of PBKDF2 that count as one unit of [`Kdf::cost`].
const ITERATIONS_PER_COST: u32 = ITERATIONS_MAX / 1000;

/// How the key of a slot is derived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kdf {
    Pbkdf2 {
        hash: Hash,
        iterations: u32,
        salt: Vec<u8>,
    },
    Argon2 {
        /// Argon2id, or else Argon2i.
        is_id: bool,
        passes: u32,
        memory_kib: u32,
        lanes: u32,
        salt: Vec<u8>,
    },
}

impl Kdf {
    /// Why it is not computed, as in "its key derivation needs 5000000 KiB of memory, more than the limit of 4194304".
    pub(super) fn excess(&self) -> Option<String> {
        let needs: [(u64, u64, &str); 4] = match self {
            Self::Pbkdf2 { iterations, .. } => {
                let needed = ((*iterations).into(), ITERATIONS_MAX.into(), "iterations");
                [needed, (0, 0, ""), (0, 0, ""), (0, 0, "")]
            }
            Self::Argon2 { passes, memory_kib, lanes, .. } => {
                let (passes, memory_kib) = (u64::from(*passes), u64::from(*memory_kib));
                [
                    (memory_kib, MEMORY_KIB_MAX.into(), "KiB of memory"),
                    (passes, PASSES_MAX.into(), "passes"),
                    ((*lanes).into(), LANES_MAX.into(), "lanes"),
                    (passes.saturating_mul(memory_kib), WORK_KIB_MAX, "KiB of memory times passes"),
                ]
            }
        };
        let (needed, limit, unit) = needs.into_iter().find(|(needed, limit, _)| needed > limit)?;
        Some(format!("its key derivation needs {needed} {unit}, more than the limit of {limit}"))
    }

    /// What it costs, in thousandths of what one derivation may cost.
    pub(super) fn cost(&self) -> u64 {
        match self {
            Self::Pbkdf2 { iterations, .. } => iterations_cost(*iterations),
            Self::Argon2 { passes, memory_kib, .. } => {
                u64::from(*passes).saturating_mul((*memory_kib).into()) / (WORK_KIB_MAX / 1000)
            }
        }
    }

    /// Derives a key of `len_bytes`. [`Kdf::excess`] has found nothing.
    ///
    /// # Errors
    /// `Unsupported` if the parameters are none of the algorithm, or there is no memory for it.
    pub(super) fn derive(&self, secret: &[u8], len_bytes: usize) -> Result<Zeroizing<Vec<u8>>> {
        let mut derived = Zeroizing::new(vec![0; len_bytes]);
        match self {
            Self::Pbkdf2 { hash, iterations, salt } => {
                hash.pbkdf2(secret, salt, *iterations, &mut derived)?;
            }
            Self::Argon2 { is_id, passes, memory_kib, lanes, salt } => {
                let failed = |error| Error::unsupported(format!("Argon2: {error}"));
                let algorithm = if *is_id { Algorithm::Argon2id } else { Algorithm::Argon2i };
                let parameters = Params::new(*memory_kib, *passes, *lanes, Some(len_bytes));
                let parameters = parameters.map_err(failed)?;
                let mut blocks = blocks(parameters.block_count())?;
                let argon2 = Argon2::new(algorithm, Version::V0x13, parameters);
                let done =
                    argon2.hash_password_into_with_memory(secret, salt, &mut derived, &mut *blocks);
                done.map_err(failed)?;
            }
        }
        Ok(derived)
    }
}

/// What iterations of PBKDF2 cost, as [`Kdf::cost`].
pub(super) fn iterations_cost(iterations: u32) -> u64 {
    u64::from(iterations / ITERATIONS_PER_COST)
}

/// The memory of Argon2. Asked for in a way that can fail: what a header wants may be more than there is.
fn blocks(count: usize) -> Result<Zeroizing<Vec<Block>>> {
    let mut blocks = Zeroizing::new(Vec::new());
    let no_memory = |_| Error::unsupported(format!("Argon2: no memory of {count} KiB for it"));
    blocks.try_reserve_exact(count).map_err(no_memory)?;
    blocks.resize(count, Block::default());
    Ok(blocks)
}
