"""Raw data of Siemens scanners (twix) as the lines of an ISMRMRD file.

twixtools reads the file; from there on a line is treated as one that the converter
siemens_to_ismrmrd would have written, whose conventions these are: the quaternion of a
slice turns (phase, read, slice) into the patient's coordinates.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np

from sigpy_priors.backend.extras import require
from sigpy_priors.io.files import check_file, check_memory, reading
from sigpy_priors.io.ismrmrd import RawScan, assemble
from sigpy_priors.io.ismrmrd_lines import sort_lines

__all__ = ["read_twix"]

_FLAGS = {
    "NOISEADJSCAN": ismrmrd.ACQ_IS_NOISE_MEASUREMENT,
    "PATREFSCAN": ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,
    "PATREFANDIMASCAN": ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING,
    "REFLECT": ismrmrd.ACQ_IS_REVERSE,
    "PHASCOR": ismrmrd.ACQ_IS_PHASECORR_DATA,
    "HPFEEDBACK": ismrmrd.ACQ_IS_HPFEEDBACK_DATA,
    "RTFEEDBACK": ismrmrd.ACQ_IS_RTFEEDBACK_DATA,
    "RETRO_DUMMYSCAN": ismrmrd.ACQ_IS_DUMMYSCAN_DATA,
    "REFPHASESTABSCAN": ismrmrd.ACQ_IS_PHASE_STABILIZATION_REFERENCE,
    "PHASESTABSCAN": ismrmrd.ACQ_IS_PHASE_STABILIZATION,
    "CT_NORMALIZE": ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA,
}
_COUNTERS = {
    "kspace_encode_step_1": "Lin",
    "kspace_encode_step_2": "Par",
    "average": "Ave",
    "slice": "Sli",
    "contrast": "Eco",
    "phase": "Phs",
    "repetition": "Rep",
    "set": "Set",
    "segment": "Seg",
}
_TRAJECTORIES = {1: "cartesian", 2: "radial", 4: "spiral", 8: "other"}
_MODES = {1: "other", 2: "embedded", 4: "separate", 8: "interleaved"}
_NO_REGRIDDING = 1  # of alRegridMode

_HEADER = """<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
 <experimentalConditions>
  <H1resonanceFrequency_Hz>{frequency}</H1resonanceFrequency_Hz>
 </experimentalConditions>
 <encoding>
  <encodedSpace><matrixSize><x>{nx}</x><y>{ny}</y><z>1</z></matrixSize>
   <fieldOfView_mm><x>{ex}</x><y>{ey}</y><z>{z}</z></fieldOfView_mm></encodedSpace>
  <reconSpace><matrixSize><x>{rx}</x><y>{ry}</y><z>1</z></matrixSize>
   <fieldOfView_mm><x>{fx}</x><y>{fy}</y><z>{z}</z></fieldOfView_mm></reconSpace>
  <encodingLimits><kspace_encoding_step_1>
   <minimum>0</minimum><maximum>{last}</maximum><center>{centre}</center>
  </kspace_encoding_step_1></encodingLimits>
  <trajectory>{trajectory}</trajectory>
  <parallelImaging><accelerationFactor>
   <kspace_encoding_step_1>{accel}</kspace_encoding_step_1>
   <kspace_encoding_step_2>1</kspace_encoding_step_2></accelerationFactor>
   <calibrationMode>{mode}</calibrationMode></parallelImaging>
 </encoding>
</ismrmrdHeader>"""


def read_twix(path: str | Path, number: str | None = None) -> RawScan:
    """Read a twix file.

    Args:
        path (str or Path): ``.dat`` file of the software VB, VD or VE.
        number (str or None): which of its measurements, from 0; None is the only one
            with lines of an image.

    Returns:
        RawScan: k-space, and what belongs to it.

    Raises:
        ValueError: if the file is damaged, has several measurements, or its data are
            not 2-D Cartesian.
        ImportError: naming the extra that brings twixtools.
    """
    [twixtools] = require("twixtools", extra="twix")
    path = check_file(path)
    with reading(path, "raw data of Siemens (twix)"):
        scans = twixtools.read_twix(
            str(path), parse_data=False, parse_pmu=False, parse_geometry=False,
            verbose=False,
        )  # fmt: skip
        measured = [_lines(path, twixtools, scan) for scan in scans]
    chosen = _chosen(path, measured, number)
    with reading(path, "raw data of Siemens (twix) with a protocol that is known"):
        xml = _header(scans[chosen]["hdr"], measured[chosen])
        header = ismrmrd.xsd.CreateFromDocument(xml)
    others = (a for k, a in enumerate(measured) if k != chosen)
    return assemble(path, header, xml, measured[chosen], others)


def _chosen(path: Path, measured: list[list], number: str | None) -> int:
    if number is not None:
        if not number.isdecimal() or int(number) >= len(measured):
            raise ValueError(
                f"{path}: has no measurement {number!r}, expected 0 to "
                f"{len(measured) - 1}."
            )
        return int(number)
    images = [k for k, lines in enumerate(measured) if sort_lines(lines, True).image]
    if len(images) > 1:
        raise ValueError(
            f"{path}: got {len(images)} measurements with images, "
            f"{', '.join(map(str, images))}, expected one; choose it by "
            f"{path}/{images[-1]}."
        )
    return images[0] if images else len(measured) - 1


def _lines(path: Path, twixtools: Any, scan: dict) -> list[Any]:
    """All lines of a measurement; the file is not trusted to have an end."""
    ve = "raidfile_hdr" in scan
    size = os.path.getsize(path)
    start, end = 0, size
    if ve:
        start = int(scan["raidfile_hdr"]["off_"])
        end = min(size, start + int(scan["raidfile_hdr"]["len_"]) or size)
    position, lines = start + len(scan["hdr_str"]), []
    check_memory(path, 2 * max(end - position, 0), "its lines")
    with open(path, "rb") as file:
        while position < end:
            file.seek(position)
            block = twixtools.mdb.Mdb(file, ve)
            length = int(block.dma_len)
            if block.is_flag_set("ACQEND"):
                break
            if length <= 0 or position + length > end:
                raise ValueError(
                    f"a line of {length} bytes at byte {position} of {end}"
                )
            position += length
            if not block.is_flag_set("SYNCDATA"):
                lines.append(_acquisition(block))
    return lines


def _acquisition(block: Any) -> Any:
    mdh = block.mdh
    a: Any = ismrmrd.Acquisition.from_array(np.ascontiguousarray(block.data))
    a.center_sample = mdh.CenterCol
    a.discard_pre, a.discard_post = mdh.CutOff.Pre, mdh.CutOff.Post
    for ours, theirs in _COUNTERS.items():
        setattr(a.idx, ours, getattr(mdh.Counter, theirs))
    a.idx.user[0] = mdh.CenterLin
    for theirs, flag in _FLAGS.items():
        if block.is_flag_set(theirs):
            a.set_flag(flag)
    place = mdh.SliceData
    a.position[:] = place.SlicePos.Sag, place.SlicePos.Cor, place.SlicePos.Tra
    a.phase_dir[:], a.read_dir[:], a.slice_dir[:] = _rotation(*place.Quaternion).T
    return a


def _rotation(w: float, x: float, y: float, z: float) -> np.ndarray:
    """The matrix (3, 3) of a quaternion."""
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _header(hdr: dict, lines: list) -> str:
    """ISMRMRD's header of a protocol."""
    yaps = hdr["MeasYaps"]
    space, where = yaps["sKSpace"], yaps["sSliceArray"]["asSlice"][0]
    regrid = hdr.get("Meas", {}).get("alRegridMode") or [_NO_REGRIDDING]
    if float(regrid[0]) > _NO_REGRIDDING:
        raise ValueError(
            "samples on the ramps of the gradient, expected equal distances: convert the "
            "file with siemens_to_ismrmrd and a regridding"
        )
    found = sort_lines(lines, True).image or lines
    first = found[0]
    width = int(space["lBaseResolution"])
    height = int(space["lPhaseEncodingLines"])
    # The readout is sampled twice as densely, unless lines are as long as the image.
    dense = 2 if max(a.center_sample for a in found) > width // 2 else 1
    fx, fy = float(where["dReadoutFOV"]), float(where["dPhaseFOV"])
    pat = yaps.get("sPat", {})
    epi = int(yaps.get("sFastImaging", {}).get("lEPIFactor", 1)) > 1
    kind = _TRAJECTORIES.get(int(space.get("ucTrajectory", 1)), "other")
    return _HEADER.format(
        frequency=int(_frequency(yaps)),
        nx=dense * width,
        ny=height,
        ex=dense * fx,
        ey=fy * (1 + float(space.get("dPhaseOversamplingForDialog", 0))),
        rx=width,
        ry=height,
        fx=fx,
        fy=fy,
        z=float(where.get("dThickness", 0)),
        last=height - 1,
        centre=int(first.idx.user[0]),
        trajectory="epi" if epi and kind == "cartesian" else kind,
        accel=int(pat.get("lAccelFactPE", 1)),
        mode=_MODES.get(int(pat.get("ucRefScanMode", 1)), "other"),
    )


def _frequency(yaps: dict) -> float:
    try:
        return float(yaps["sTXSPEC"]["asNucleusInfo"][0]["lFrequency"])
    except (KeyError, IndexError, TypeError):
        return 0.0
