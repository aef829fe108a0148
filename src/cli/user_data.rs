//! `regain user-data`: the cloud-init document of VOL-43, for machines whose volume cannot be detached.

use super::args::UserData;
use super::human::add;
use super::output::{Outcome, Ui};
use crate::error::{Error, Result};
use crate::report::Target;
use serde::Serialize;

#[derive(Debug, Serialize)]
struct Reply {
    user: String,
    keys: Vec<String>,
    document: String,
    warnings: Vec<String>,
}

/// What VOL-44 and VOL-45 say about the limits of this way.
const LIMITS: [&str; 2] = [
    "works only where cloud-init is enabled and reads user data, and only once per volume; old keys \
     keep working; remove the user data afterwards",
    "cloud-init locks the user's password as a side effect",
];

/// Prints the document.
pub(crate) fn run(ui: &Ui, args: &UserData) -> Outcome {
    let keys = super::keys::read_public_keys(ui, &args.key)?;
    let lines: Vec<String> = keys.iter().map(super::keys::openssh_line).collect();
    let result = Reply {
        user: args.user.clone(),
        document: document(&args.user, &lines)?,
        keys: lines,
        warnings: LIMITS.iter().map(|&limit| limit.to_owned()).collect(),
    };
    for warning in &result.warnings {
        ui.warn(warning);
    }
    ui.finish("user-data", &Target::default(), &result, || result.document.clone())?;
    Ok(())
}

/// The document of VOL-43, with a closing boundary.
fn document(user: &str, keys: &[String]) -> Result<String> {
    let mut text = String::from(
        "Content-Type: multipart/mixed; boundary=\"//\"\n\
         MIME-Version: 1.0\n\
         \n\
         --//\n\
         Content-Type: text/cloud-config; charset=\"us-ascii\"\n\
         MIME-Version: 1.0\n\
         Content-Transfer-Encoding: 7bit\n\
         Content-Disposition: attachment; filename=\"cloud-config.txt\"\n\
         \n\
         #cloud-config\n\
         cloud_final_modules:\n\
         - [users-groups, once]\n\
         users:\n",
    );
    add(&mut text, format_args!("  - name: {}\n    ssh-authorized-keys:\n", quoted(user)?));
    for key in keys {
        add(&mut text, format_args!("    - {}\n", quoted(key)?));
    }
    text.push_str("--//--\n");
    Ok(text)
}

/// `text` as a double-quoted YAML string, which is what JSON strings are, too. The document is 7-bit.
fn quoted(text: &str) -> Result<String> {
    if text.chars().any(|character| !character.is_ascii() || character.is_ascii_control()) {
        let what = format!("{text:?} does not fit into a 7-bit document");
        return Err(Error::usage(what));
    }
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_quotes_what_it_is_given() {
        let text = document("a\"b", &["ssh-ed25519 AAAA x: y".to_owned()]).unwrap();
        assert!(text.contains("  - name: \"a\\\"b\"\n"), "{text}");
        assert!(text.contains("    - \"ssh-ed25519 AAAA x: y\"\n--//--\n"), "{text}");
        assert!(document("a\nb", &[]).is_err());
    }
}
