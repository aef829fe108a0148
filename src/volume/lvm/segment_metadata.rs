//! What the metadata of a group say of a segment, see [`metadata`](super::metadata).

use super::defect::Defect;
use super::metadata::View;
use super::text::Value;
use crate::bytes::arith::len_u64;

/// A segment of a logical volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentMetadata {
    pub(super) start_extent: u64,
    pub(super) extent_count: u64,
    pub(super) kind: SegmentKind,
}

/// What a segment is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SegmentKind {
    /// Linear, which is one stripe, or striped.
    Striped {
        /// 0 with one stripe.
        stripe_sectors: u64,
        /// Names of a physical volume (or of a logical one) with the first extent there.
        stripes: Vec<(Vec<u8>, u64)>,
    },
    /// Another type.
    Other {
        /// Its name, as in "thin".
        type_name: Vec<u8>,
        /// The logical volumes that it is an addition to: origins of snapshots.
        origins: Vec<Vec<u8>>,
        /// The logical volumes that hold its data.
        uses: Vec<Vec<u8>>,
    },
}

/// Keys by which a segment names a volume that it changes when that is written.
const ORIGIN_KEYS: [&str; 3] = ["origin", "external_origin", "merge"];

/// Keys of a segment whose values are words of LVM. Every other text in a segment of a type that is not known may name
/// a volume that holds its data.
const WORD_KEYS: [&str; 9] = [
    "type",
    "cache_mode",
    "cache_policy",
    "policy",
    "discards",
    "mode",
    "internal_hash",
    "write_policy",
    "slab_type",
];

/// Takes what the section of a segment says.
///
/// # Errors
/// [`Defect`].
pub(super) fn segment(view: &View<'_>) -> Result<SegmentMetadata, Defect> {
    let type_name = view.text("type")?;
    let kind = if type_name == b"striped" { striped(view)? } else { other(view, type_name) };
    Ok(SegmentMetadata {
        start_extent: view.number("start_extent")?,
        extent_count: view.number("extent_count")?,
        kind,
    })
}

fn striped(view: &View<'_>) -> Result<SegmentKind, Defect> {
    let not_stripes = || view.missing("stripes", "list of names and extents");
    let Some(Value::List(items)) = view.section.value("stripes") else {
        return Err(not_stripes());
    };
    let (pairs, rest) = items.as_chunks::<2>();
    let stripes = pairs.iter().map(|pair| match pair {
        [Value::Text(name), Value::Number(extent)] => {
            Some((name.clone(), u64::try_from(*extent).ok()?))
        }
        _ => None,
    });
    let stripes: Vec<_> = stripes.collect::<Option<_>>().ok_or_else(not_stripes)?;
    if !rest.is_empty() || view.number("stripe_count")? != len_u64(stripes.len()) {
        return Err(not_stripes());
    }
    let stripe_sectors = if stripes.len() > 1 { view.number("stripe_size")? } else { 0 };
    Ok(SegmentKind::Striped { stripe_sectors, stripes })
}

fn other(view: &View<'_>, type_name: &[u8]) -> SegmentKind {
    let (mut origins, mut uses) = (Vec::new(), Vec::new());
    for (key, value) in &view.section.values {
        let is_in = |keys: &[&str]| keys.iter().any(|other| other.as_bytes() == key);
        match () {
            () if is_in(&ORIGIN_KEYS) => origins.extend(names(value)),
            () if is_in(&WORD_KEYS) => {}
            () => uses.extend(names(value)),
        }
    }
    SegmentKind::Other { type_name: type_name.to_vec(), origins, uses }
}

/// The texts in a value.
fn names(value: &Value) -> Vec<Vec<u8>> {
    match value {
        Value::Number(_) => Vec::new(),
        Value::Text(text) => vec![text.clone()],
        // A list has no lists in it.
        Value::List(items) => items.iter().flat_map(names).collect(),
    }
}
