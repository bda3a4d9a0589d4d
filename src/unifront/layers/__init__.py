"""Layers, with Keras 3's names, arguments and defaults. One file per family, loaded when a layer of it is asked for."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unifront.layers.activations import ELU as ELU
    from unifront.layers.activations import Activation as Activation
    from unifront.layers.activations import LeakyReLU as LeakyReLU
    from unifront.layers.activations import PReLU as PReLU
    from unifront.layers.activations import ReLU as ReLU
    from unifront.layers.activations import Softmax as Softmax
    from unifront.layers.attention import AdditiveAttention as AdditiveAttention
    from unifront.layers.attention import Attention as Attention
    from unifront.layers.bidirectional import Bidirectional as Bidirectional
    from unifront.layers.configs import deserialize as deserialize
    from unifront.layers.configs import serialize as serialize
    from unifront.layers.conv import Conv1D as Conv1D
    from unifront.layers.conv import Conv2D as Conv2D
    from unifront.layers.conv import Conv3D as Conv3D
    from unifront.layers.conv import Convolution1D as Convolution1D
    from unifront.layers.conv import Convolution2D as Convolution2D
    from unifront.layers.conv import Convolution3D as Convolution3D
    from unifront.layers.conv import DepthwiseConv1D as DepthwiseConv1D
    from unifront.layers.conv import DepthwiseConv2D as DepthwiseConv2D
    from unifront.layers.conv import SeparableConv1D as SeparableConv1D
    from unifront.layers.conv import SeparableConv2D as SeparableConv2D
    from unifront.layers.conv import SeparableConvolution1D as SeparableConvolution1D
    from unifront.layers.conv import SeparableConvolution2D as SeparableConvolution2D
    from unifront.layers.conv_lstm import ConvLSTM1D as ConvLSTM1D
    from unifront.layers.conv_lstm import ConvLSTM2D as ConvLSTM2D
    from unifront.layers.conv_lstm import ConvLSTM3D as ConvLSTM3D
    from unifront.layers.conv_transpose import Conv1DTranspose as Conv1DTranspose
    from unifront.layers.conv_transpose import Conv2DTranspose as Conv2DTranspose
    from unifront.layers.conv_transpose import Conv3DTranspose as Conv3DTranspose
    from unifront.layers.conv_transpose import Convolution1DTranspose as Convolution1DTranspose
    from unifront.layers.conv_transpose import Convolution2DTranspose as Convolution2DTranspose
    from unifront.layers.conv_transpose import Convolution3DTranspose as Convolution3DTranspose
    from unifront.layers.core import Dense as Dense
    from unifront.layers.core import Embedding as Embedding
    from unifront.layers.core import Flatten as Flatten
    from unifront.layers.core import Masking as Masking
    from unifront.layers.core import Permute as Permute
    from unifront.layers.core import RepeatVector as RepeatVector
    from unifront.layers.core import Reshape as Reshape
    from unifront.layers.einsum_dense import EinsumDense as EinsumDense
    from unifront.layers.foreign import FlaxLayer as FlaxLayer
    from unifront.layers.foreign import JaxLayer as JaxLayer
    from unifront.layers.foreign import TFSMLayer as TFSMLayer
    from unifront.layers.foreign import TorchModuleWrapper as TorchModuleWrapper
    from unifront.layers.input import Input as Input
    from unifront.layers.input import InputLayer as InputLayer
    from unifront.layers.input_spec import InputSpec as InputSpec
    from unifront.layers.layer import Layer as Layer
    from unifront.layers.merge import Add as Add
    from unifront.layers.merge import Average as Average
    from unifront.layers.merge import Concatenate as Concatenate
    from unifront.layers.merge import Dot as Dot
    from unifront.layers.merge import Maximum as Maximum
    from unifront.layers.merge import Minimum as Minimum
    from unifront.layers.merge import Multiply as Multiply
    from unifront.layers.merge import Subtract as Subtract
    from unifront.layers.merge import add as add
    from unifront.layers.merge import average as average
    from unifront.layers.merge import concatenate as concatenate
    from unifront.layers.merge import dot as dot
    from unifront.layers.merge import maximum as maximum
    from unifront.layers.merge import minimum as minimum
    from unifront.layers.merge import multiply as multiply
    from unifront.layers.merge import subtract as subtract
    from unifront.layers.multi_head_attention import GroupQueryAttention as GroupQueryAttention
    from unifront.layers.multi_head_attention import MultiHeadAttention as MultiHeadAttention
    from unifront.layers.normalization import BatchNormalization as BatchNormalization
    from unifront.layers.normalization import GroupNormalization as GroupNormalization
    from unifront.layers.normalization import LayerNormalization as LayerNormalization
    from unifront.layers.normalization import RMSNormalization as RMSNormalization
    from unifront.layers.normalization import UnitNormalization as UnitNormalization
    from unifront.layers.passing import Identity as Identity
    from unifront.layers.passing import Lambda as Lambda
    from unifront.layers.passing import Pipeline as Pipeline
    from unifront.layers.passing import Wrapper as Wrapper
    from unifront.layers.pooling import AdaptiveAveragePooling1D as AdaptiveAveragePooling1D
    from unifront.layers.pooling import AdaptiveAveragePooling2D as AdaptiveAveragePooling2D
    from unifront.layers.pooling import AdaptiveAveragePooling3D as AdaptiveAveragePooling3D
    from unifront.layers.pooling import AdaptiveMaxPooling1D as AdaptiveMaxPooling1D
    from unifront.layers.pooling import AdaptiveMaxPooling2D as AdaptiveMaxPooling2D
    from unifront.layers.pooling import AdaptiveMaxPooling3D as AdaptiveMaxPooling3D
    from unifront.layers.pooling import AveragePooling1D as AveragePooling1D
    from unifront.layers.pooling import AveragePooling2D as AveragePooling2D
    from unifront.layers.pooling import AveragePooling3D as AveragePooling3D
    from unifront.layers.pooling import AvgPool1D as AvgPool1D
    from unifront.layers.pooling import AvgPool2D as AvgPool2D
    from unifront.layers.pooling import AvgPool3D as AvgPool3D
    from unifront.layers.pooling import GlobalAveragePooling1D as GlobalAveragePooling1D
    from unifront.layers.pooling import GlobalAveragePooling2D as GlobalAveragePooling2D
    from unifront.layers.pooling import GlobalAveragePooling3D as GlobalAveragePooling3D
    from unifront.layers.pooling import GlobalAvgPool1D as GlobalAvgPool1D
    from unifront.layers.pooling import GlobalAvgPool2D as GlobalAvgPool2D
    from unifront.layers.pooling import GlobalAvgPool3D as GlobalAvgPool3D
    from unifront.layers.pooling import GlobalMaxPool1D as GlobalMaxPool1D
    from unifront.layers.pooling import GlobalMaxPool2D as GlobalMaxPool2D
    from unifront.layers.pooling import GlobalMaxPool3D as GlobalMaxPool3D
    from unifront.layers.pooling import GlobalMaxPooling1D as GlobalMaxPooling1D
    from unifront.layers.pooling import GlobalMaxPooling2D as GlobalMaxPooling2D
    from unifront.layers.pooling import GlobalMaxPooling3D as GlobalMaxPooling3D
    from unifront.layers.pooling import MaxPool1D as MaxPool1D
    from unifront.layers.pooling import MaxPool2D as MaxPool2D
    from unifront.layers.pooling import MaxPool3D as MaxPool3D
    from unifront.layers.pooling import MaxPooling1D as MaxPooling1D
    from unifront.layers.pooling import MaxPooling2D as MaxPooling2D
    from unifront.layers.pooling import MaxPooling3D as MaxPooling3D
    from unifront.layers.preprocessing.color import AutoContrast as AutoContrast
    from unifront.layers.preprocessing.color import RandomBrightness as RandomBrightness
    from unifront.layers.preprocessing.color import RandomColorDegeneration as RandomColorDegeneration
    from unifront.layers.preprocessing.color import RandomColorJitter as RandomColorJitter
    from unifront.layers.preprocessing.color import RandomContrast as RandomContrast
    from unifront.layers.preprocessing.color import RandomGaussianBlur as RandomGaussianBlur
    from unifront.layers.preprocessing.color import RandomGrayscale as RandomGrayscale
    from unifront.layers.preprocessing.color import RandomHue as RandomHue
    from unifront.layers.preprocessing.color import RandomInvert as RandomInvert
    from unifront.layers.preprocessing.color import RandomPosterization as RandomPosterization
    from unifront.layers.preprocessing.color import RandomSaturation as RandomSaturation
    from unifront.layers.preprocessing.color import RandomSharpness as RandomSharpness
    from unifront.layers.preprocessing.color import Rescaling as Rescaling
    from unifront.layers.preprocessing.color import Solarization as Solarization
    from unifront.layers.preprocessing.discretization import Discretization as Discretization
    from unifront.layers.preprocessing.encoding import CategoryEncoding as CategoryEncoding
    from unifront.layers.preprocessing.framing import CenterCrop as CenterCrop
    from unifront.layers.preprocessing.framing import MaxNumBoundingBoxes as MaxNumBoundingBoxes
    from unifront.layers.preprocessing.framing import RandomCrop as RandomCrop
    from unifront.layers.preprocessing.framing import RandomFlip as RandomFlip
    from unifront.layers.preprocessing.framing import Resizing as Resizing
    from unifront.layers.preprocessing.hashing import HashedCrossing as HashedCrossing
    from unifront.layers.preprocessing.hashing import Hashing as Hashing
    from unifront.layers.preprocessing.histograms import (
        ContrastLimitedAdaptiveHistogramEqualization as ContrastLimitedAdaptiveHistogramEqualization,
    )
    from unifront.layers.preprocessing.histograms import Equalization as Equalization
    from unifront.layers.preprocessing.lookup import IntegerLookup as IntegerLookup
    from unifront.layers.preprocessing.lookup import StringLookup as StringLookup
    from unifront.layers.preprocessing.mixing import CutMix as CutMix
    from unifront.layers.preprocessing.mixing import MixUp as MixUp
    from unifront.layers.preprocessing.mixing import RandomErasing as RandomErasing
    from unifront.layers.preprocessing.normalization import Normalization as Normalization
    from unifront.layers.preprocessing.policies import AugMix as AugMix
    from unifront.layers.preprocessing.policies import RandAugment as RandAugment
    from unifront.layers.preprocessing.spectrogram import MelSpectrogram as MelSpectrogram
    from unifront.layers.preprocessing.spectrogram import STFTSpectrogram as STFTSpectrogram
    from unifront.layers.preprocessing.text import TextVectorization as TextVectorization
    from unifront.layers.preprocessing.warping import RandomElasticTransform as RandomElasticTransform
    from unifront.layers.preprocessing.warping import RandomPerspective as RandomPerspective
    from unifront.layers.preprocessing.warping import RandomRotation as RandomRotation
    from unifront.layers.preprocessing.warping import RandomShear as RandomShear
    from unifront.layers.preprocessing.warping import RandomTranslation as RandomTranslation
    from unifront.layers.preprocessing.warping import RandomZoom as RandomZoom
    from unifront.layers.recurrent import GRU as GRU
    from unifront.layers.recurrent import LSTM as LSTM
    from unifront.layers.recurrent import SimpleRNN as SimpleRNN
    from unifront.layers.regularization import ActivityRegularization as ActivityRegularization
    from unifront.layers.regularization import AlphaDropout as AlphaDropout
    from unifront.layers.regularization import Dropout as Dropout
    from unifront.layers.regularization import GaussianDropout as GaussianDropout
    from unifront.layers.regularization import GaussianNoise as GaussianNoise
    from unifront.layers.regularization import SpatialDropout1D as SpatialDropout1D
    from unifront.layers.regularization import SpatialDropout2D as SpatialDropout2D
    from unifront.layers.regularization import SpatialDropout3D as SpatialDropout3D
    from unifront.layers.reshaping import Cropping1D as Cropping1D
    from unifront.layers.reshaping import Cropping2D as Cropping2D
    from unifront.layers.reshaping import Cropping3D as Cropping3D
    from unifront.layers.reshaping import UpSampling1D as UpSampling1D
    from unifront.layers.reshaping import UpSampling2D as UpSampling2D
    from unifront.layers.reshaping import UpSampling3D as UpSampling3D
    from unifront.layers.reshaping import ZeroPadding1D as ZeroPadding1D
    from unifront.layers.reshaping import ZeroPadding2D as ZeroPadding2D
    from unifront.layers.reshaping import ZeroPadding3D as ZeroPadding3D
    from unifront.layers.reversible_embedding import ReversibleEmbedding as ReversibleEmbedding
    from unifront.layers.rnn import RNN as RNN
    from unifront.layers.rnn_cells import GRUCell as GRUCell
    from unifront.layers.rnn_cells import LSTMCell as LSTMCell
    from unifront.layers.rnn_cells import SimpleRNNCell as SimpleRNNCell
    from unifront.layers.rnn_cells import StackedRNNCells as StackedRNNCells
    from unifront.layers.wrappers import SpectralNormalization as SpectralNormalization
    from unifront.layers.wrappers import TimeDistributed as TimeDistributed


def _homes(families: str) -> dict[str, str]:
    lines = (line.split(": ") for line in families.splitlines())
    return {name: family for family, names in lines for name in names.split()}


_HOMES = _homes("""\
activations: ELU Activation LeakyReLU PReLU ReLU Softmax
attention: AdditiveAttention Attention
bidirectional: Bidirectional
configs: deserialize serialize
conv: Conv1D Conv2D Conv3D DepthwiseConv1D DepthwiseConv2D SeparableConv1D SeparableConv2D
conv_lstm: ConvLSTM1D ConvLSTM2D ConvLSTM3D
conv_transpose: Conv1DTranspose Conv2DTranspose Conv3DTranspose
core: Dense Embedding Flatten Masking Permute RepeatVector Reshape
einsum_dense: EinsumDense
foreign: FlaxLayer JaxLayer TFSMLayer TorchModuleWrapper
input: Input InputLayer
input_spec: InputSpec
layer: Layer
merge: Add Average Concatenate Dot Maximum Minimum Multiply Subtract add average concatenate dot maximum minimum
merge: multiply subtract
multi_head_attention: GroupQueryAttention MultiHeadAttention
normalization: BatchNormalization GroupNormalization LayerNormalization RMSNormalization UnitNormalization
passing: Identity Lambda Pipeline Wrapper
pooling: AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D AdaptiveMaxPooling1D
pooling: AdaptiveMaxPooling2D AdaptiveMaxPooling3D AveragePooling1D AveragePooling2D AveragePooling3D
pooling: GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D
pooling: GlobalMaxPooling3D MaxPooling1D MaxPooling2D MaxPooling3D
preprocessing.color: AutoContrast RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast
preprocessing.color: RandomGaussianBlur RandomGrayscale RandomHue RandomInvert RandomPosterization RandomSaturation
preprocessing.color: RandomSharpness Rescaling Solarization
preprocessing.discretization: Discretization
preprocessing.encoding: CategoryEncoding
preprocessing.framing: CenterCrop MaxNumBoundingBoxes RandomCrop RandomFlip Resizing
preprocessing.hashing: HashedCrossing Hashing
preprocessing.histograms: ContrastLimitedAdaptiveHistogramEqualization Equalization
preprocessing.lookup: IntegerLookup StringLookup
preprocessing.mixing: CutMix MixUp RandomErasing
preprocessing.normalization: Normalization
preprocessing.policies: AugMix RandAugment
preprocessing.spectrogram: MelSpectrogram STFTSpectrogram
preprocessing.text: TextVectorization
preprocessing.warping: RandomElasticTransform RandomPerspective RandomRotation RandomShear RandomTranslation
preprocessing.warping: RandomZoom
recurrent: GRU LSTM SimpleRNN
regularization: ActivityRegularization AlphaDropout Dropout GaussianDropout GaussianNoise SpatialDropout1D
regularization: SpatialDropout2D SpatialDropout3D
reshaping: Cropping1D Cropping2D Cropping3D UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D
reshaping: ZeroPadding3D
reversible_embedding: ReversibleEmbedding
rnn: RNN
rnn_cells: GRUCell LSTMCell SimpleRNNCell StackedRNNCells
wrappers: SpectralNormalization TimeDistributed
""")
"""Which file holds what."""
_OTHER_HOMES = _homes("""\
pooling: AvgPool1D AvgPool2D AvgPool3D MaxPool1D MaxPool2D MaxPool3D GlobalAvgPool1D GlobalAvgPool2D GlobalAvgPool3D
pooling: GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D
conv: Convolution1D Convolution2D Convolution3D SeparableConvolution1D SeparableConvolution2D
conv_transpose: Convolution1DTranspose Convolution2DTranspose Convolution3DTranspose
""")
"""The same for Keras's other names of these classes."""
__all__ = sorted(_HOMES)  # the table is the list


if not TYPE_CHECKING:  # to a type checker, a name that is not above is an error

    def __getattr__(name: str) -> Any:
        family = _HOMES.get(name) or _OTHER_HOMES.get(name)
        if family is None:
            if name.startswith("_"):
                raise AttributeError(name)
            if name.isidentifier() and importlib.util.find_spec(f"{__name__}.{name}"):
                return importlib.import_module(f"{__name__}.{name}")
            raise AttributeError(f"module {__name__!r}: {_unknown(name)}")
        found = getattr(importlib.import_module(f"{__name__}.{family}"), name)
        return globals().setdefault(name, found)


def _unknown(name: str) -> Exception:
    from unifront.errors import UnknownName

    return UnknownName("layer", name, __dir__())


def __dir__() -> list[str]:
    return [*__all__, *_OTHER_HOMES]
