"""Rows of upsampling (notes 7.2)."""

from .base import IMAGE, Case, Refused, rows, x

LINE, VOLUME = (2, 3, 5), (2, 1, 3, 4, 2)

CASES: list[Case] = [
    *rows("7.2", "Upsample", LINE, IMAGE, VOLUME, (0, 3, 6, 5), scale_factor=2),
    *rows("7.2", "Upsample", IMAGE, size=(9, 3)),
    *rows("7.2", "Upsample", IMAGE, scale_factor=(2.5, 0.6)),
    *rows("7.2", "Upsample", IMAGE, scale_factor=1.7, recompute_scale_factor=True),
    *rows("7.2", "Upsample", LINE, IMAGE, VOLUME, scale_factor=1.7, mode="nearest-exact"),
    *rows("7.2", "Upsample", IMAGE, scale_factor=(1.3, 0.6), mode="area"),
    *[
        case
        for mode, shape in (("linear", LINE), ("bilinear", IMAGE), ("trilinear", VOLUME))
        for kwargs in (
            dict(size=7),
            dict(size=7, align_corners=True),
            dict(scale_factor=1.7),
            dict(scale_factor=0.6, recompute_scale_factor=True),
        )
        for case in rows("7.2", "Upsample", shape, mode=mode, **kwargs)
    ],
    *rows("7.2", "Upsample", IMAGE, (0, 3, 6, 5), mode="bilinear", size=(1, 5)),
    *rows("7.2", "Upsample", IMAGE, mode="bilinear", size=(6, 1), align_corners=True),
    *rows("7.2", "Upsample", IMAGE, mode="bicubic", scale_factor=(1.7, 0.6)),
    *rows("7.2", "Upsample", IMAGE, mode="bicubic", size=(7, 9), align_corners=True),
    *rows("7.2", "UpsamplingNearest2d", IMAGE, size=(9, 3)),
    *rows("7.2", "UpsamplingBilinear2d", IMAGE, scale_factor=(1.7, 2)),
]

BOTH = dict(size=2, scale_factor=2.0)

REFUSED: list[Refused] = [
    Refused("7.2", "Upsample", {}, x(*IMAGE), ValueError, "size=None"),
    Refused("7.2", "Upsample", dict(scale_factor=0), x(*IMAGE), ValueError, "scale_factor=None"),
    Refused("7.2", "Upsample", dict(scale_factor=[2, 2]), None, TypeError, "list"),
    Refused("7.2", "Upsample", BOTH, x(*IMAGE), ValueError, "size=2, scale_factor=2.0"),
    Refused("7.2", "Upsample", dict(size=(2, 2, 2)), x(*IMAGE), ValueError, "(2, 2, 2)"),
    Refused("7.2", "Upsample", dict(scale_factor=(2,)), x(*IMAGE), ValueError, "(2.0,)"),
    Refused("7.2", "Upsample", dict(size=(2.5, 2)), x(*IMAGE), TypeError, "(2.5, 2)"),
    Refused("7.2", "Upsample", dict(size=2.5), x(*IMAGE), TypeError, "2.5"),
    Refused("7.2", "Upsample", dict(size=0), x(*IMAGE), RuntimeError, "[0, 0]"),
    Refused("7.2", "Upsample", dict(scale_factor=0.1), x(*IMAGE), RuntimeError, "[0, 0]"),
    Refused("7.2", "Upsample", dict(size=2), x(2, 0, 6, 5), RuntimeError, "(2, 0, 6, 5)"),
    Refused("7.2", "Upsample", dict(size=2), x(4, 5), NotImplementedError, "2 axes"),
    Refused("7.2", "Upsample", dict(scale_factor=2), x(5), NotImplementedError, "1 axes"),
    Refused("7.2", "Upsample", dict(size=2, mode="cubic"), x(*IMAGE), NotImplementedError, "cubic"),
    Refused(
        "7.2", "Upsample", dict(size=2, mode="linear"), x(*IMAGE), NotImplementedError, "linear"
    ),
    Refused("7.2", "Upsample", dict(size=2, align_corners=False), x(*IMAGE), ValueError, "False"),
    Refused(
        "7.2", "Upsample", dict(size=2, recompute_scale_factor=True), x(*IMAGE), ValueError, "=2"
    ),
]
