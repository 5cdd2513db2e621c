//! The folder of one installation: its database, its secret, its lock.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use secrecy::SecretString;

/// The layout of the rows that this version writes. A folder with another one is refused.
const LAYOUT: &str = "2";

/// The folder. Its lock is held as long as the value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: Option<File>,
}

impl DataDir {
    /// Opens the folder for commands that only need the secret, and makes it if it is not there.
    ///
    /// # Errors
    /// One sentence that says what to do.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        if path.is_file() {
            bail!("`{}` is a file: choose a folder with --data-dir", path.display());
        }
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.with_context(|| {
            format!("cannot use the folder `{}`: choose a writable folder with --data-dir", path.display())
        })?;
        Ok(Self { path: path.into(), _lock: None })
    }

    /// Opens the folder for the one process that may serve from it.
    ///
    /// # Errors
    /// One sentence that says what to do.
    pub fn lock(path: &Path) -> anyhow::Result<Self> {
        let folder = Self::open(path)?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path.join("lock"));
        let file = file.with_context(|| {
            format!("cannot write to `{}`: choose another folder with --data-dir", path.display())
        })?;
        match file.try_lock() {
            Ok(()) => {
                folder.check_layout()?;
                Ok(Self { _lock: Some(file), ..folder })
            }
            Err(fs::TryLockError::WouldBlock) => {
                bail!(
                    "another Runnel process uses `{}`: stop it, or choose another folder with --data-dir",
                    path.display()
                )
            }
            Err(fs::TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock the folder `{}`", path.display()))
            }
        }
    }

    /// Refuses a database with rows of another layout, and marks a new folder with this one.
    fn check_layout(&self) -> anyhow::Result<()> {
        let path = self.path.join("layout");
        if fs::read_to_string(&path).is_ok_and(|layout| layout == LAYOUT) {
            return Ok(());
        }
        if self.database().exists() {
            bail!(
                "`{}` was written by another version of Runnel, whose rows this one cannot read: delete the folder, \
                 or choose another one with --data-dir",
                self.path.display()
            );
        }
        fs::write(&path, LAYOUT).with_context(|| {
            format!("cannot write to `{}`: choose another folder with --data-dir", self.path.display())
        })
    }

    /// The secret of a server's folder. Neither folder nor secret is created.
    ///
    /// # Errors
    /// One sentence that says what to do.
    pub fn existing_secret(path: &Path) -> anyhow::Result<SecretString> {
        read_secret(&path.join("secret"))?.with_context(|| {
            format!(
                "there is no secret in `{}`: name the folder of the server with --data-dir",
                path.display()
            )
        })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.path.join("runnel.db")
    }

    /// The secret that signs development tokens, made by whichever command comes first.
    pub fn secret(&self) -> anyhow::Result<SecretString> {
        let path = self.path.join("secret");
        for _ in 0..2 {
            match read_secret(&path)? {
                Some(secret) => return Ok(secret),
                None => self.make_secret(&path)?,
            }
        }
        bail!("another process deletes `{}` as soon as it is created: stop that process", path.display())
    }

    /// Written whole under another name, then linked: of two commands at once, one's counts.
    fn make_secret(&self, path: &Path) -> anyhow::Result<()> {
        let draft = self.path.join(format!("secret.{:016x}", rand::random::<u64>()));
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
            file.write_all(fresh_secret().as_bytes())?;
            file.sync_all()
        };
        let linked = write().and_then(|()| fs::hard_link(&draft, path));
        // The draft is of no use, whoever won.
        let _ = fs::remove_file(&draft);
        match linked {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error).with_context(|| {
                format!("cannot write to `{}`: choose another folder with --data-dir", self.path.display())
            }),
            _ => Ok(()),
        }
    }
}

/// The secret in a file, if there is one.
fn read_secret(path: &Path) -> anyhow::Result<Option<SecretString>> {
    match fs::read_to_string(path) {
        Ok(secret) if secret.len() >= 32 => Ok(Some(secret.into())),
        Ok(_) => bail!("`{}` is damaged: delete it, then sign in again", path.display()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    }
}

/// 256 random bits as text.
pub fn fresh_secret() -> String {
    format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn folder() -> PathBuf {
        std::env::temp_dir().join(format!("runnel-{:016x}", rand::random::<u64>()))
    }

    #[test]
    fn a_second_process_is_told_to_choose_another_folder() {
        let path = folder();
        let first = DataDir::lock(&path).unwrap();
        let error = DataDir::lock(&path).unwrap_err().to_string();
        assert!(error.contains("--data-dir"), "{error}");
        drop(first);
        DataDir::lock(&path).unwrap();
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn commands_that_race_for_the_secret_agree() {
        let path = folder();
        let secrets: Vec<String> = std::thread::scope(|scope| {
            let each = || DataDir::open(&path).unwrap().secret().unwrap().expose_secret().to_owned();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(each)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(secrets.iter().all(|secret| secret == &secrets[0]));
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1, "no draft is left");
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_folder_of_another_version_is_refused() {
        let path = folder();
        drop(DataDir::lock(&path).unwrap());
        fs::write(path.join("runnel.db"), "").unwrap();
        drop(DataDir::lock(&path).unwrap());
        for layout in [None, Some("1"), Some("3")] {
            match layout {
                Some(layout) => fs::write(path.join("layout"), layout).unwrap(),
                None => fs::remove_file(path.join("layout")).unwrap(),
            }
            let error = DataDir::lock(&path).unwrap_err().to_string();
            assert!(error.contains("delete the folder"), "{error}");
        }
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_file_is_no_folder() {
        let path = folder();
        fs::write(&path, "").unwrap();
        let error = DataDir::lock(&path).unwrap_err().to_string();
        assert!(error.contains("--data-dir"), "{error}");
        fs::remove_file(path).unwrap();
    }
}
