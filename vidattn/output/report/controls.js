"use strict";
// Sliders, pointer, keys and player; each function takes the parts of report.js that it uses.
const Controls = (() => {
  function sliders({ at, data, state, saved, duration, scheduleUpdate, tracks, table, save, drop }) {
    const [least, gap] = [at("least"), at("gap")];
    const most = Math.max(10, 4 * saved.minDuration, 4 * saved.mergeGap, Math.min(duration / 10, 120));
    for (const slider of [least, gap]) {
      slider.max = Math.ceil(most);
      slider.step = most > 20 ? 0.5 : 0.1;
    }
    const dial = at("dial");
    dial.parentElement.hidden = !data.costs.length;
    dial.max = Math.max(data.steps - 1, 0);
    const show = () => {
      dial.value = state.step;
      at("threshold").value = state.threshold;
      least.value = state.minDuration;
      gap.value = state.mergeGap;
    };
    show();
    at("threshold").addEventListener("input", (e) => ((state.threshold = Number(e.target.value)), scheduleUpdate()));
    least.addEventListener("input", (e) => ((state.minDuration = Number(e.target.value)), scheduleUpdate()));
    gap.addEventListener("input", (e) => ((state.mergeGap = Number(e.target.value)), scheduleUpdate()));
    dial.addEventListener("input", (e) => ((state.step = Number(e.target.value)), scheduleUpdate()));
    at("filter").addEventListener("input", (e) => ((state.filter = e.target.value.trim().toLowerCase()), scheduleUpdate()));
    at("controls").addEventListener("submit", (e) => e.preventDefault());
    at("reset").addEventListener("click", (e) => {
      e.preventDefault();
      Object.assign(state, saved);
      drop();
      show();
      scheduleUpdate();
    });
    for (const format of ["csv", "json"]) at(`save-${format}`).addEventListener("click", () => save(format));
    at("others").addEventListener("click", () => ((state.tracks = Infinity), tracks()));
    at("more").addEventListener("click", () => ((state.all = true), table()));
    for (const th of document.querySelectorAll("th[data-sort]")) {
      th.firstElementChild.disabled = false;
      th.firstElementChild.addEventListener("click", () => {
        state.falling = state.sort === th.dataset.sort ? !state.falling : th.dataset.sort === "score";
        state.sort = th.dataset.sort;
        table();
      });
    }
  }

  function pointer({ at, state, range, clock, nameOf, scoreOf, segmentAt, go, zoom, redraw, across }) {
    const plot = at("plot");
    const timeOf = (e) => {
      const box = at("skyline").getBoundingClientRect();
      const share = (e.clientX - box.left) / box.width;
      return share >= 0 && share <= 1 ? range.from + share * range.length : null;
    };
    plot.addEventListener("pointermove", (e) => {
      const time = timeOf(e);
      at("cross").hidden = at("tip").hidden = time === null;
      if (time === null) return;
      const s = segmentAt(time);
      const share = 100 * range.share(time);
      at("cross").style.left = `${share}%`;
      at("tip").textContent = `${clock(time)}  ${s ? `${nameOf(s.label)} ${scoreOf(s)}` : "not seen"}`;
      at("tip").style.left = share < 60 ? `${share}%` : "auto";
      at("tip").style.right = share < 60 ? "auto" : `${100 - share}%`;
    });
    plot.addEventListener("pointerleave", () => (at("cross").hidden = at("tip").hidden = true));
    plot.addEventListener("click", (e) => {
      const time = e.target.closest("button") ? null : timeOf(e);
      if (time !== null) go(time, true);
    });
    plot.addEventListener("wheel", (e) => {
      const time = timeOf(e);
      const turn = e.shiftKey ? e.deltaY || e.deltaX : e.deltaX;
      if (time !== null && (e.ctrlKey || e.metaKey)) zoom(Math.exp(-Math.max(-100, Math.min(e.deltaY, 100)) / 250), time);
      else if (!range.isWhole && Math.abs(turn) > (e.shiftKey ? 0 : Math.abs(e.deltaY))) {
        range.show(range.from + (turn / across()) * range.length, range.length);
        redraw();
      } else return;
      e.preventDefault();
    }, { passive: false });
    at("in").addEventListener("click", () => zoom(2));
    at("out").addEventListener("click", () => zoom(0.5));
    at("whole").addEventListener("click", () => zoom(0));
    const drag = (e) => {
      const box = at("map").getBoundingClientRect();
      const middle = range.first + ((e.clientX - box.left) / box.width) * range.whole;
      range.show(middle - range.length / 2, range.length);
      redraw();
    };
    at("map").addEventListener("pointerdown", (e) => (at("map").setPointerCapture(e.pointerId), drag(e)));
    at("map").addEventListener("pointermove", (e) => e.buttons && drag(e));
    at("ribbon").addEventListener("click", (e) => {
      const box = at("ribbon").getBoundingClientRect();
      go(range.first + ((e.clientX - box.left) / box.width) * range.whole, true);
    });
    at("rows").addEventListener("click", (e) => {
      const row = e.target.closest("tr");
      if (!row?.segment || !getSelection().isCollapsed) return;
      state.picked = row.segment;
      go(row.segment.start, true);
    });
    // A clicked button loses the focus: the space bar belongs to the video.
    document.addEventListener("click", (e) => e.detail && e.target.closest("button")?.blur());
  }

  function keyboard({ at, data, state, video, scheduleUpdate, go, zoom, play, press, skyline, tracks }) {
    const help = at("keys");
    at("help").addEventListener("click", () => help.showModal());
    help.addEventListener("click", (e) => e.target.matches("dialog, button") && help.close());
    const playing = (e) => e.key === " " && !e.target.matches("video, input:not([type=range]), button:not(.jump), summary");
    document.addEventListener("keyup", (e) => playing(e) && e.preventDefault()); // a button acts on keyup
    const reach = (s, otherwise) => {
      state.picked = s;
      go(s?.start ?? otherwise);
    };
    document.addEventListener("keydown", (e) => {
      const sliding = e.target.matches("[type=range]") && /^(Arrow|Home|End|Page)/.test(e.key);
      const typing = sliding || e.target.matches("input:not([type=range]), textarea, select");
      if (e.key === "Escape" && e.target === at("filter")) {
        at("filter").value = state.filter = "";
        at("filter").blur();
        scheduleUpdate();
      }
      if (e.key === "Escape" && state.selected !== null) {
        state.selected = null;
        skyline();
        tracks();
      }
      if (help.open) return e.key === "?" ? help.close() : undefined;
      if (typing && !playing(e)) return;
      if (press(e)) return e.preventDefault();
      if (e.ctrlKey || e.metaKey || e.altKey) return;
      if (e.key === "ArrowRight") reach(state.segments.find((s) => s.start > state.now + 1e-3), state.now);
      else if (e.key === "ArrowLeft") reach(state.segments.findLast((s) => s.start < state.now - (video.paused ? 1e-3 : 0.5)), data.part[0]);
      else if (playing(e)) video.paused ? play() : video.pause();
      else if (e.key === "?" && data.task === "segment") help.showModal();
      else if (e.key === "/") {
        at("settings").open = true;
        at("filter").focus();
      }
      else if (data.task === "segment" && "+=-_0".includes(e.key)) zoom({ "-": 0.5, _: 0.5, 0: 0 }[e.key] ?? 2);
      else return;
      e.preventDefault();
      if (e.key.startsWith("Arrow")) document.querySelector("tr[aria-current]")?.scrollIntoView({ block: "nearest" });
    });
  }

  function player({ at, data, state, range, video, redraw, point }) {
    // A page that was moved together with its video finds it beside itself.
    const beside = data.video.split("/").pop();
    let moved = beside === data.video;
    const failed = () => {
      if (!moved && video.error && !video.currentSrc.startsWith("blob:")) {
        moved = true;
        video.src = beside;
      } else at("unplayable").hidden = false;
    };
    if (video.error) failed();
    if (video.readyState && state.now) video.currentTime = state.now;
    video.addEventListener("error", failed);
    video.addEventListener("loadedmetadata", () => {
      at("unplayable").hidden = true;
      if (!video.videoWidth) failed(); // audio only: the browser does not support the video codec
      else if (state.now) video.currentTime = state.now;
    });
    at("file").addEventListener("change", (e) => {
      if (e.target.files.length) video.src = URL.createObjectURL(e.target.files[0]);
    });
    const follow = () => {
      state.now = video.currentTime;
      if (!video.paused && range.reach(state.now)) redraw();
      point();
      if (!video.paused) requestAnimationFrame(follow);
    };
    video.addEventListener("play", () => requestAnimationFrame(follow));
    video.addEventListener("seeked", follow);
  }

  function explanations({ at, go }) {
    for (const button of document.querySelectorAll("[data-time]")) {
      button.disabled = false;
      button.addEventListener("click", () => {
        go(Number(button.dataset.time), true);
        at("player").scrollIntoView({ block: "nearest" });
      });
    }
  }

  return { sliders, pointer, keyboard, player, explanations };
})();
