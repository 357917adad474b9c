"""The audio of a file as a track of another: its own packets where an mp4 may hold them, else AAC.

Runs in the writing process only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.error import FFmpegError
from av.packet import Packet

from vidattn.video.container.open import DEMUXERS, MAX_ERRORS, open_with_av

COPIED = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"})
"""Codecs that players expect in an mp4."""
_NAMES = (
    "aac mp3 mp3float mp2 mp2float mp1float ac3 eac3 alac opus libopus flac vorbis libvorbis "
    "pcm_s16le pcm_s16be pcm_s24le pcm_s24be pcm_s32le pcm_s32be pcm_f32le pcm_f32be pcm_u8 "
    "pcm_mulaw pcm_alaw adpcm_ms adpcm_ima_wav adpcm_ima_qt wmav1 wmav2 amrnb amrwb dca"
)
DECODERS = frozenset(_NAMES.split())
"""Decoders that are common enough to be used."""
BITS_PER_CHANNEL = 80_000
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
"""By number of channels; others become stereo. Names in files are often missing."""
LEAD_SECONDS = 0.05
"""Packets before the first one heard are copied too, since decoders need them to begin well."""
EARLY_SECONDS = 1.0
"""Seconds before the wanted part at which reading begins, since seeking may come out late."""


class AudioCopy:
    """The best audio track of a file, from `start` on, muxed along with the video."""

    def __init__(self, source: str, start: float, stop: float, beat: Callable[[], None]) -> None:
        """start, stop: seconds in the source; audio outside is left out."""
        self._start, self._stop, self._beat = start, stop, beat
        options = {
            "format_whitelist": DEMUXERS,
            "protocol_whitelist": "file",
            "codec_whitelist": ",".join(sorted(DECODERS)),
        }
        self._container = open_with_av(source, options)
        best = self._container.streams.best("audio")
        self._stream = best if isinstance(best, AudioStream) else None
        context = None if self._stream is None else self._stream.codec_context
        self.codec = "" if self._stream is None else "unknown"
        """Of the source, "" if it has no audio."""
        if context is not None:
            self.codec = context.codec.canonical_name
        self.copied = self.codec in COPIED
        if context is None or not (self.copied or context.codec.name in DECODERS):
            self._stream = None
        self._out: AudioStream | None = None
        self._ahead: Packet[AudioStream] | None = None
        self._last: int | None = None

    @property
    def exists(self) -> bool:
        """Whether there is audio that an mp4 can have."""
        return self._stream is not None

    def join(self, output: OutputContainer) -> None:
        """Add a track to a file whose header is not yet written; raises FFmpegError."""
        assert self._stream is not None
        self._output = output
        if self.copied:
            self._out = output.add_stream_from_template(self._stream)
        else:
            context = self._stream.codec_context
            self._out = output.add_stream("aac", rate=context.sample_rate)
            self._out.codec_context.layout = LAYOUTS.get(context.channels, "stereo")
            self._out.codec_context.bit_rate = BITS_PER_CHANNEL * self._out.codec_context.channels
        self._packets = self._wanted_packets()
        self._ahead = next(self._packets, None)

    def mux_until(self, time: float) -> None:
        """Mux the audio before `time`, in seconds of the source."""
        while self._ahead is not None and self._time(self._ahead) < time:
            self._mux(self._ahead)
            self._ahead = next(self._packets, None)

    def finish(self) -> None:
        """Mux the rest."""
        self.mux_until(self._stop)
        if self._out is not None and not self.copied:
            self._encode(None)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _time(self, packet: Packet[AudioStream]) -> float:
        return float((packet.pts or 0) * (packet.time_base or Fraction(0)))

    def _wanted_packets(self) -> Iterator[Packet[AudioStream]]:
        """Packets that are heard in the wanted part, each with a time."""
        if self._start > 10 * EARLY_SECONDS:
            try:
                self._container.seek(max(0, round((self._start - EARLY_SECONDS) * 1_000_000)))
            except FFmpegError:
                self._container.seek(0)
        for packet in self._demux():
            if packet.pts is None:
                packet.pts = packet.dts
            if not packet.size or packet.pts is None or packet.is_corrupt:
                continue
            begin = self._time(packet)
            if begin >= self._stop:
                return
            end = begin + float((packet.duration or 0) * (packet.time_base or 0))
            if end > self._start - (LEAD_SECONDS if self.copied else 0.0):
                yield packet

    def _demux(self) -> Iterator[Packet[AudioStream]]:
        """All packets of the track, continuing behind damage."""
        assert self._stream is not None
        failures = 0
        while failures < MAX_ERRORS:
            try:
                for packet in self._container.demux(self._stream):
                    self._beat()
                    failures = 0
                    yield packet
                return
            except FFmpegError:
                failures += 1

    def _mux(self, packet: Packet[AudioStream]) -> None:
        if not self.copied:
            self._transcode(packet)
            return
        assert self._out is not None
        assert packet.pts is not None
        shift = round(self._start / (packet.time_base or Fraction(1)))
        packet.pts = packet.dts = packet.pts - shift
        if self._last is None or packet.dts > self._last:
            self._last = packet.dts
            packet.stream = self._out
            self._output.mux(packet)

    def _transcode(self, packet: Packet[AudioStream]) -> None:
        assert self._stream is not None
        try:
            frames = self._stream.codec_context.decode(packet)
        except FFmpegError:
            return  # a damaged packet becomes a moment of silence
        for frame in frames:
            if frame.pts is not None and frame.time_base:
                frame.pts -= round(self._start / frame.time_base)
                self._encode(frame)

    def _encode(self, frame: av.AudioFrame | None) -> None:
        assert self._out is not None
        self._output.mux(self._out.encode(frame))
