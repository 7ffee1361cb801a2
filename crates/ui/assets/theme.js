// Before the first paint, so that nothing flashes.
(() => {
  try {
    const theme = localStorage.getItem('theme');
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch { /* storage is forbidden: the system's choice stays */ }
})();
