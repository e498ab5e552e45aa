"""The hot path, compiled: each function does what a plain one in this package's parent does.

The plain functions (NumPy and SEP) are the reference; a property test holds every kernel
against its own on random and real input. A kernel runs in one thread, adds in one order and
fuses no operations, so that its result depends neither on the number of workers nor on the width of
the processor's vectors.

==================  ==========================================  =================================
kernel              reference                                   agreement
==================  ==========================================  =================================
``calibration``     ``calibrate.Calibrator.apply``              to the last bit
``skymesh``         ``sky.measure_sky``                         0.05 σ of a sky pixel
``skyimage``        ``sky.SkyModel.image``                      10⁻⁶ of the level
``maxima``          ``peaks.find_peaks``                        to the last bit
``moments``         ``windowed``                                10⁻⁹ px
``summing``         ``stack.PartialStack``                      to the last bit
``stars``           ``apertures.measure_fluxes``                10⁻⁵ of the flux's error
``medians``         ``scatter.finite_median``, ``mad_sigma``    to the last bit
``starcells``       ``footprints.Footprints.covered``           to the last bit
``selection``       ``np.sort``                                 to the last bit
``arcsine``         ``np.arcsin``                               10⁻¹⁵
==================  ==========================================  =================================
"""
