"""Twelve-lead ECGs from a bank of heartbeats that neurokit2 (McSharry's ECGSYN model) draws.

The bank holds a few rhythms, each with the same heartbeats seen four times: from the side and from the front
of the chest, healthy and abnormal. A record is a stretch of one rhythm, mixed into leads, with ectopic beats
and recording faults laid over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedmeki_bench.files import atomic_writer
from fedmeki_bench.simulate._latent import generator

__all__ = ["LEADS", "SAMPLES", "Bank", "Disturbance", "draw_ecg", "make_bank", "read_bank", "write_bank"]

LEADS = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")
SAMPLES, FREQUENCY = 1000, 100

Signal = NDArray[np.float64]

ANGLES, ABNORMAL_ANGLES = (-70, -15, 0, 15, 100), (-70, -15, 0, 40, 100)
WIDTHS, ABNORMAL_WIDTHS = (0.25, 0.1, 0.1, 0.1, 0.4), (0.25, 0.1, 0.13, 0.3, 0.45)
SIDE, ABNORMAL_SIDE = (1.2, -5.0, 30.0, -7.5, 0.75), (1.2, -5.0, 24.0, -0.9, -0.7)
FRONT, ABNORMAL_FRONT = (0.7, 0.0, 9.0, -30.0, 0.75), (0.7, 0.0, 5.0, -24.0, -0.5)
"""Heights of the waves P, Q, R, S, T in ECGSYN's unit. Abnormal: low ST segment, T upside down, wide QRS."""

ECTOPIC_ANGLES, ECTOPIC_WIDTHS, ECTOPIC = (
    (-70, -15, 0, 20, 80),
    (0.25, 0.1, 0.32, 0.2, 0.5),
    (0.0, 0.0, 6.0, -3.0, -0.9),
)
"""A ventricular beat: no P, very wide QRS, T against it."""

MIX = np.array([(0.85, 0.05), (1.05, 0.1), (0.1, 0.8), (0.3, 1.2), (0.7, 0.8), (1.2, 0.4), (1.2, 0.1), (0.9, 0.0)])
"""Millivolt of side and front view in the leads I, II, V1 to V6; the other four follow from I and II."""

WARM_UP, KEPT = 6, 15
"""Seconds of ECGSYN that are dropped (its model settles) and kept."""

RISE, FALL = 30, 60
"""Samples of an ectopic beat before and after its peak."""


@dataclass(frozen=True)
class Bank:
    """Rhythms to cut records from.

    Attributes:
        views: (rhythms, 4, samples): side, front, abnormal side, abnormal front; the main deflection is 1.
        beats: (rhythms, samples), true at R peaks.
        ectopic: (90,), one ectopic beat with peak 1.
    """

    views: Signal
    beats: NDArray[np.bool_]
    ectopic: Signal


@dataclass(frozen=True)
class Disturbance:
    """A recording fault.

    Attributes:
        kind: `baseline_drift`, `static_noise`, `burst_noise` or `electrodes_problems`.
        leads: indexes into `LEADS`.
        strength: 0 to 1.
    """

    kind: str
    leads: Sequence[int]
    strength: float


def make_bank(seed: int, rhythms: int) -> Bank:
    """Rhythms of 52 to 100 beats a minute; about 0.4 s of work each."""
    from scipy.signal import find_peaks

    views, beats = [], []
    for index, rate in enumerate(np.linspace(52, 100, rhythms)):
        draw = int(generator(seed, "ecg", "rhythm", index).integers(2**31))
        side = _ecgsyn(draw, rate, SIDE, ANGLES, WIDTHS)
        front = _ecgsyn(draw, rate, FRONT, ANGLES, WIDTHS)
        abnormal_side = _ecgsyn(draw, rate, ABNORMAL_SIDE, ABNORMAL_ANGLES, ABNORMAL_WIDTHS)
        abnormal_front = _ecgsyn(draw, rate, ABNORMAL_FRONT, ABNORMAL_ANGLES, ABNORMAL_WIDTHS)
        views.append([side, front, abnormal_side, abnormal_front])
        peaks = np.zeros(len(side), dtype=np.bool_)
        peaks[find_peaks(side, height=0.6, distance=FREQUENCY // 3)[0]] = True
        beats.append(peaks)
    wide = _ecgsyn(0, 60.0, ECTOPIC, ECTOPIC_ANGLES, ECTOPIC_WIDTHS)
    peak = int(find_peaks(wide, height=0.6, distance=FREQUENCY // 2)[0][2])
    ectopic = wide[peak - RISE : peak + FALL] * np.hanning(RISE + FALL) ** 0.25
    return Bank(np.array(views), np.array(beats), ectopic)


def write_bank(path: Path, bank: Bank) -> None:
    """Keep a bank for the processes that cut records from it."""
    with atomic_writer(path) as handle:
        np.savez(handle, views=bank.views, beats=bank.beats, ectopic=bank.ectopic)


def read_bank(path: Path) -> Bank:
    """The bank that `write_bank` wrote."""
    with np.load(path) as arrays:
        return Bank(arrays["views"], arrays["beats"], arrays["ectopic"])


def draw_ecg(
    rng: np.random.Generator,
    bank: Bank,
    *,
    abnormal: float,
    ectopic: float,
    ectopic_beats: int,
    disturbances: Sequence[Disturbance] = (),
) -> Signal:
    """One record, millivolt, (12, 1000), leads in the order of `LEADS`.

    Args:
        rng: the record's own generator.
        bank: rhythms to cut from.
        abnormal: how far the beats are from healthy ones, 0 to 1.
        ectopic: height of the ectopic beats, 0 to 1; at 1 they replace the beat that would have followed.
        ectopic_beats: how many there are.
        disturbances: recording faults to add.
    """
    views, beats = _stretch(rng, bank)
    mix = MIX * rng.lognormal(0, 0.08, MIX.shape) * rng.lognormal(0, 0.1)
    leads = mix @ ((1 - abnormal) * views[:2] + abnormal * views[2:])
    for beat in _premature(rng, beats, ectopic_beats):
        _insert_ectopic(leads, bank.ectopic, mix, beats, beat, ectopic)
    first, second = leads[0], leads[1]
    limbs = [first, second, second - first, -(first + second) / 2, first - second / 2, second - first / 2]
    record = np.vstack([limbs, leads[2:]])
    record += rng.normal(0, 0.012, record.shape) + rng.uniform(0.0, 0.03, (12, 1)) * _drift(rng, 12)
    for disturbance in disturbances:
        record[list(disturbance.leads)] += _disturb(rng, disturbance)
    return np.asarray(record)


def _ecgsyn(
    draw: int, rate: float, heights: Sequence[float], angles: Sequence[float], widths: Sequence[float]
) -> Signal:
    """One view of a rhythm, its main deflection scaled to 1, its resting line to 0."""
    import neurokit2

    wave = neurokit2.ecg_simulate(
        duration=WARM_UP + KEPT,
        sampling_rate=FREQUENCY,
        noise=0,
        heart_rate=rate,
        heart_rate_std=2,
        method="ecgsyn",
        random_state=draw,
        random_state_distort=draw,
        ti=tuple(angles),
        ai=tuple(heights),
        bi=tuple(widths),
    )
    kept = np.asarray(wave, dtype=np.float64)[WARM_UP * FREQUENCY :][: KEPT * FREQUENCY]
    kept = kept - np.median(kept)
    return np.asarray(kept / np.quantile(np.abs(kept), 0.999))


def _stretch(rng: np.random.Generator, bank: Bank) -> tuple[Signal, NDArray[np.intp]]:
    """Ten seconds of one rhythm from any moment on, a little faster or slower: four views, R peaks."""
    rhythm = rng.integers(len(bank.views))
    speed = rng.uniform(0.9, 1.1)
    length = bank.views.shape[2]
    start = rng.uniform(0, length - 1 - speed * SAMPLES)
    at = start + speed * np.arange(SAMPLES)
    views = np.array([np.interp(at, np.arange(length), view) for view in bank.views[rhythm]])
    peaks = np.rint((np.flatnonzero(bank.beats[rhythm]) - start) / speed).astype(np.intp)
    return views, peaks[(peaks >= 0) & (peaks < SAMPLES)]


def _premature(rng: np.random.Generator, beats: NDArray[np.intp], count: int) -> list[int]:
    """Indexes of beats that an ectopic beat follows, none next to another."""
    places = np.arange(1, len(beats) - 2, 2)
    return sorted(int(place) for place in rng.permutation(places)[:count])


def _insert_ectopic(
    leads: Signal, shape: Signal, mix: Signal, beats: NDArray[np.intp], beat: int, height: float
) -> None:
    interval = beats[beat + 1] - beats[beat]
    peak = int(beats[beat] + 0.62 * interval)
    # The beat that is due finds the heart still resting: it falls out as far as the ectopic beat is there.
    following = np.exp(-(((np.arange(SAMPLES) - beats[beat + 1] - 0.1 * interval) / (0.38 * interval)) ** 6))
    leads *= 1 - height * following
    first, last = max(peak - RISE, 0), min(peak + FALL, SAMPLES)
    weights = 1.5 * mix[:, 0] - 1.0 * mix[:, 1]
    leads[:, first:last] += height * np.outer(weights, shape[first - peak + RISE : last - peak + RISE])


def _drift(rng: np.random.Generator, leads: int) -> Signal:
    seconds = np.arange(SAMPLES) / FREQUENCY
    waves = [
        np.sin(2 * np.pi * rng.uniform(0.1, 0.4, (leads, 1)) * seconds + rng.uniform(0, 6.28, (leads, 1)))
        for _ in range(2)
    ]
    return np.asarray(waves[0] + 0.5 * waves[1])


def _disturb(rng: np.random.Generator, fault: Disturbance) -> Signal:
    """What a recording fault adds to its leads: (leads, 1000) millivolt."""
    count = len(fault.leads)
    if fault.kind == "baseline_drift":
        return 0.9 * fault.strength * _drift(rng, count)
    noise = rng.normal(0, 1, (count, SAMPLES))
    if fault.kind == "static_noise":
        return 0.3 * fault.strength * noise
    start = rng.integers(100, SAMPLES - 350)
    window = np.zeros(SAMPLES)
    window[start : start + 250] = np.hanning(250)
    if fault.kind == "burst_noise":
        return 0.9 * fault.strength * window * noise
    # A loose electrode: the lead jumps and creeps back.
    step = (np.arange(SAMPLES) >= start) * np.exp(-np.maximum(np.arange(SAMPLES) - start, 0) / 150)
    return 1.8 * fault.strength * np.outer(rng.choice([-1, 1], count), step)
