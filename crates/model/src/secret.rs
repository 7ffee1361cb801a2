//! Values that must not be seen.
use std::fmt;
use zeroize::Zeroize;

/// A value that no log, error or debug print shows, wiped from memory when dropped.
#[derive(Clone)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }
    /// The value itself, for the one place that has to use it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_is_not_shown() {
        let s = Secret::new(String::from("hunter2"));
        assert_eq!(format!("{s:?} {:?}", Some(&s)), "[secret] Some([secret])");
        assert_eq!(s.expose(), "hunter2");
    }
}
