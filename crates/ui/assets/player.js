// Plays an asciicast. The speed is part of how a player is made, so a new one takes over where the old one was.
'use strict';
(() => {
  const place = document.getElementById('player');
  const speed = document.getElementById('speed');
  let player = null;
  const make = (startAt) => AsciinemaPlayer.create(place.dataset.cast, place, {
    fit: 'both', idleTimeLimit: 2, preload: true, startAt, speed: Number(speed.value),
  });
  player = make(0);
  speed.addEventListener('change', () => {
    Promise.resolve(player.getCurrentTime()).then((at) => {
      player.dispose();
      player = make(at);
      player.play();
    });
  });
})();
