"""Pictures, sound, video, documents."""

from __future__ import annotations

import importlib
import io
import os
import tempfile
from typing import Any

from atlas.case import Field

FIELD = Field(__name__)
case = FIELD.case

_LETS_GO = "lets go around the library's work"


def _noise(*shape: int) -> Any:
    numpy = importlib.import_module("numpy")
    return numpy.random.default_rng(1).integers(0, 255, shape, dtype="u1")


def _image(size: int) -> Any:
    return importlib.import_module("PIL.Image").fromarray(_noise(size, size, 3))


@case(
    "Pillow",
    "image.resize(...)",
    size="3,000 by 3,000, 5 times",
    set_up=lambda: _image(3_000),
    guess="releases",
    why="ImagingSectionEnter in Resample.c",
)
def pillow_resize(image: Any) -> Any:
    return [image.resize((1_000, 1_000), 1) for _ in range(5)]


@case(
    "Pillow",
    "image.filter(GaussianBlur(5))",
    size="3,500 by 3,500",
    set_up=lambda: _image(3_500),
    guess="releases",
    why="ImagingSectionEnter in BoxBlur.c",
)
def pillow_blur(image: Any) -> Any:
    return image.filter(importlib.import_module("PIL.ImageFilter").GaussianBlur(5))


def _cv2() -> Any:
    cv2 = importlib.import_module("cv2")
    cv2.setNumThreads(1)
    return cv2


@case(
    "opencv-python-headless",
    "cv2.GaussianBlur(a, ...)",
    size="3,000 by 3,000, 5 times",
    set_up=lambda: (_cv2(), _noise(3_000, 3_000, 3)),
    guess="releases",
    why="each wrapper lets go (PyAllowThreads, ERRWRAP2)",
)
def cv2_blur(state: Any) -> Any:
    return [state[0].GaussianBlur(state[1], (31, 31), 5) for _ in range(5)]


@case(
    "scikit-image",
    "filters.gaussian(a)",
    size="4,000 by 4,000",
    set_up=lambda: _noise(4_000, 4_000),
    guess="releases",
    why="scipy.ndimage",
)
def skimage_gaussian(array: Any) -> Any:
    return importlib.import_module("skimage.filters").gaussian(array, 3)


@case(
    "soundfile",
    "soundfile.write(file, 'FLAC')",
    size="4 minutes of stereo",
    set_up=lambda: importlib.import_module("numpy").random.default_rng(1).random((10_584_000, 2)),
    guess="releases",
    why="cffi lets go around each call",
)
def soundfile_write(array: Any) -> None:
    path = os.path.join(tempfile.mkdtemp(prefix="atlas-"), "a.flac")
    importlib.import_module("soundfile").write(path, array, 44_100)


def _video() -> bytes:
    av = importlib.import_module("av")
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 480
        for _i in range(100):
            frame = av.VideoFrame.from_ndarray(_noise(480, 480, 3))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


@case(
    "av",
    "encoding frames",
    size="100 frames of 480 by 480",
    guess="mixed",
    why="with nogil around each call of FFmpeg",
)
def av_encode(_: None) -> bytes:
    return _video()


@case(
    "matplotlib",
    "figure.savefig(png)",
    size="a line of 40,000 points",
    set_up=lambda: _figure(),
    guess="gives way",
    why="Agg draws with the GIL held, in short pieces",
)
def matplotlib_png(figure: Any) -> None:
    figure.savefig(io.BytesIO(), format="png")


def _figure() -> Any:
    figure = importlib.import_module("matplotlib.figure").Figure()
    figure.subplots().plot(_noise(40_000))
    return figure


@case(
    "imagecodecs",
    "jpegxl_encode(a)",
    size="1,500 by 1,500",
    set_up=lambda: _noise(1_500, 1_500, 3),
    guess="releases",
    why=_LETS_GO,
)
def imagecodecs_jpegxl(array: Any) -> Any:
    return importlib.import_module("imagecodecs").jpegxl_encode(array, effort=3, numthreads=1)


@case(
    "tifffile",
    "imwrite(file, a, compression='zlib')",
    size="3,400 by 3,400",
    set_up=lambda: _noise(3_400, 3_400, 3),
    guess="releases",
    why="imagecodecs or zlib, which let go",
)
def tifffile_write(array: Any) -> None:
    importlib.import_module("tifffile").imwrite(io.BytesIO(), array, compression="zlib")


@case(
    "imageio",
    "imwrite(file, a) as PNG",
    size="1,800 by 1,800",
    set_up=lambda: _noise(1_800, 1_800, 3),
    guess="releases",
    why="Pillow",
)
def imageio_write(array: Any) -> None:
    importlib.import_module("imageio.v3").imwrite(io.BytesIO(), array, extension=".png")


def _pdf(pages: int = 100) -> bytes:
    file = io.BytesIO()
    canvas = importlib.import_module("reportlab.pdfgen.canvas").Canvas(file)
    for page in range(pages):
        for line in range(50):
            canvas.drawString(50, 50 + 14 * line, f"page {page}, line {line}: some words of text")
        canvas.showPage()
    canvas.save()
    return file.getvalue()


@case(
    "reportlab",
    "Canvas.drawString(...), save()",
    size="400 pages",
    guess="gives way",
    why="written in Python",
)
def reportlab_save(_: None) -> bytes:
    return _pdf(400)


@case(
    "PyMuPDF",
    "page.get_text()",
    size="100 pages, 8 times",
    set_up=_pdf,
    guess="gives way",
    why="MuPDF is not for threads: it never lets go",
    one_thread=True,
)
def pymupdf_text(data: bytes) -> Any:
    document = importlib.import_module("pymupdf").open(stream=data)
    return [page.get_text() for _ in range(8) for page in document]


@case(
    "pypdfium2",
    "page.render()",
    size="12 pages at 300 dpi",
    set_up=lambda: _pdf(12),
    guess="releases",
    why="called by ctypes, which lets go; two threads at once may crash, says its manual",
    one_thread=True,
)
def pdfium_render(data: bytes) -> Any:
    document = importlib.import_module("pypdfium2").PdfDocument(data)
    return [page.render(scale=300 / 72).to_numpy().sum() for page in document]


@case(
    "pikepdf",
    "Pdf.open(file), save(file)",
    size="400 pages, 11 times",
    set_up=lambda: _pdf(400),
    guess="releases",
    why="lets go for opening the file, not for saving it (src/core/qpdf.cpp)",
)
def pikepdf_save(data: bytes) -> None:
    for _i in range(11):
        with importlib.import_module("pikepdf").open(io.BytesIO(data)) as document:
            document.save(io.BytesIO(), recompress_flate=True)


@case(
    "fonttools",
    "TTFont(path): all glyphs",
    size="6,000 of DejaVu Sans",
    set_up=lambda: _font(),
    guess="gives way",
    why="written in Python",
)
def fonttools_glyphs(path: str) -> Any:
    font = importlib.import_module("fontTools.ttLib").TTFont(path)
    names = font.getGlyphOrder()[:6_000]
    return [font["glyf"][name].getCoordinates(font["glyf"]) for name in names]


def _font() -> str:
    path: str = importlib.import_module("matplotlib.font_manager").findfont("DejaVu Sans")
    return path
