// Plays an asciicast. The speed is part of how a player is made, so a new one takes over where the old one was.
'use strict';
(() => {
  const place = document.getElementById('player');
  const speed = document.getElementById('speed');
  let player = null;
  const make = (startAt) => {
    player = AsciinemaPlayer.create(place.dataset.cast, place, {
      fit: 'both', idleTimeLimit: 2, preload: true, startAt, speed: Number(speed.value),
    });
    // Its keys work while it has the focus, which Tab leads to as well.
    const screen = place.querySelector('.ap-wrapper');
    screen.tabIndex = 0;
    screen.setAttribute('aria-label', 'Recorded terminal');
    screen.focus({ preventScroll: true });
  };
  make(0);
  speed.addEventListener('change', () => {
    Promise.resolve(player.getCurrentTime()).then((at) => {
      player.dispose();
      make(at);
      player.play();
    });
  });
})();
