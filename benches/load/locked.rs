//! The versions of the crates that this was built with.

/// The lock file of the build.
const LOCK: &str = include_str!("../../Cargo.lock");

/// A crate's name and version, as `tokio 1.54.0`.
///
/// # Panics
/// The lock file does not have it: the name is wrong here.
pub(crate) fn named(name: &str) -> String {
    let version = version(LOCK, name).unwrap_or_else(|| panic!("{name} is not locked"));
    format!("{name} {version}")
}

/// The version of a crate; of the first one where there are several.
fn version<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    lock.split("[[package]]").find_map(|package| {
        let value = |key: &str| {
            package.lines().find_map(|line| {
                let value = line.strip_prefix(key)?.strip_prefix(" = \"")?;
                value.strip_suffix('"')
            })
        };
        (value("name")? == name).then(|| value("version"))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_that_of_the_whole_name() {
        let lock = "version = 4\n\n[[package]]\nname = \"actix-rt\"\nversion = \"2.15.0\"\n\n\
            [[package]]\nname = \"actix\"\nversion = \"0.13.5\"\ndependencies = [\n \"x\",\n]\n";
        assert_eq!(version(lock, "actix"), Some("0.13.5"));
        assert_eq!(version(lock, "acti"), None);
        assert!(named("tokio").starts_with("tokio 1."));
    }
}
