"""Small networks written the way that widely used libraries write theirs: transformers with separate
query, key and value layers and a permuted view for each, windows, sequence reduction; and what stands
on a backbone: pyramids, necks, decoders."""
import math
from typing import Dict, List

import torch
from torch import nn
from torch.nn import functional


class SelfAttention(nn.Module):
    """Three layers, each turned to heads by view and permute; scores over a mask; a context view."""

    def __init__(self, width, heads, dropout=0.1):
        super().__init__()
        self.num_heads = heads
        self.head_size = width // heads
        self.all_head_size = self.num_heads * self.head_size
        self.query = nn.Linear(width, self.all_head_size)
        self.key = nn.Linear(width, self.all_head_size)
        self.value = nn.Linear(width, self.all_head_size)
        self.dropout = nn.Dropout(dropout)

    def heads_of(self, x):
        return x.view(x.size()[:-1] + (self.num_heads, self.head_size)).permute(0, 2, 1, 3)

    def forward(self, x, mask):
        query, key, value = (self.heads_of(layer(x)) for layer in (self.query, self.key, self.value))
        scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(self.head_size)
        if mask is not None:
            scores = scores + mask
        weights = self.dropout(functional.softmax(scores, dim=-1))
        context = torch.matmul(weights, value).permute(0, 2, 1, 3).contiguous()
        return context.view(context.size()[:-2] + (self.all_head_size,))


class BertLayer(nn.Module):
    """Norms after the sums."""

    def __init__(self, width, heads, inner):
        super().__init__()
        self.attention = SelfAttention(width, heads)
        self.output = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.intermediate = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)
        self.down_norm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x, mask):
        x = self.norm(self.dropout(self.output(self.attention(x, mask))) + x)
        y = self.down(functional.gelu(self.intermediate(x)))
        return self.down_norm(self.dropout(y) + x)


class Bert(nn.Module):
    """Tokens to classes, and the tokens themselves again through the embedding's weight."""

    def __init__(self, words=30, length=7, width=24, heads=4, inner=40, layers=2):
        super().__init__()
        self.words = nn.Embedding(words, width, padding_idx=0)
        self.positions = nn.Embedding(length, width)
        self.types = nn.Embedding(2, width)
        self.register_buffer("position_ids", torch.arange(length).expand((1, -1)))
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(0.1)
        self.layers = nn.ModuleList([BertLayer(width, heads, inner) for _ in range(layers)])
        self.pooler = nn.Linear(width, width)
        self.classifier = nn.Linear(width, 3)
        self.transform = nn.Linear(width, width)
        self.decoder = nn.Linear(width, words)
        self.decoder.weight = self.words.weight

    def forward(self, tokens):
        length = tokens.size()[1]
        mask = (tokens != 0)[:, None, None, :].to(dtype=torch.float32)
        mask = (1.0 - mask) * -10000.0
        types = torch.zeros(tokens.size(), dtype=torch.long, device=tokens.device)
        x = self.words(tokens) + self.types(types) + self.positions(self.position_ids[:, :length])
        x = self.dropout(self.norm(x))
        for layer in self.layers:
            x = layer(x, mask)
        pooled = torch.tanh(self.pooler(x[:, 0]))
        return self.classifier(pooled), self.decoder(functional.gelu(self.transform(x)))


class ViTLayer(nn.Module):
    """Norms before the branches."""

    def __init__(self, width, heads, inner):
        super().__init__()
        self.layernorm_before = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads, 0.0)
        self.output = nn.Linear(width, width)
        self.layernorm_after = nn.LayerNorm(width)
        self.intermediate = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)

    def forward(self, x):
        x = self.output(self.attention(self.layernorm_before(x), None)) + x
        return self.down(functional.gelu(self.intermediate(self.layernorm_after(x)))) + x


class ViT(nn.Module):
    """Patches by a convolution, a class token, learned positions; `taps` are the layers whose tokens
    are returned as maps, for heads of dense prediction."""

    def __init__(self, image=16, patch=4, width=24, heads=3, inner=36, layers=2, classes=5):
        super().__init__()
        self.side = image // patch
        self.projection = nn.Conv2d(3, width, patch, patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position_embeddings = nn.Parameter(torch.zeros(1, self.side**2 + 1, width))
        self.layers = nn.ModuleList([ViTLayer(width, heads, inner) for _ in range(layers)])
        self.layernorm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, classes)

    def embed(self, image):
        batch = image.shape[0]
        x = self.projection(image).flatten(2).transpose(1, 2)
        tokens = self.cls_token.expand(batch, -1, -1)
        return torch.cat((tokens, x), dim=1) + self.position_embeddings

    def forward(self, image):
        x = self.embed(image)
        for layer in self.layers:
            x = layer(x)
        return self.classifier(self.layernorm(x)[:, 0, :])

    def maps(self, image) -> List[torch.Tensor]:
        x = self.embed(image)
        maps = []
        for layer in self.layers:
            x = layer(x)
            batch, _, width = x.shape
            maps.append(x[:, 1:].transpose(1, 2).reshape(batch, width, self.side, self.side))
        return maps


def windows_of(x, size):
    batch, height, width, channels = x.shape
    x = x.view(batch, height // size, size, width // size, size, channels)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, size, size, channels)


def from_windows(windows, size, height, width):
    channels = windows.shape[-1]
    x = windows.view(-1, height // size, width // size, size, size, channels)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, height, width, channels)


class SwinLayer(nn.Module):
    """Attention inside windows, shifted where asked, with a table of relative positions."""

    def __init__(self, width, heads, side, window, shift):
        super().__init__()
        self.side, self.window, self.shift = side, window, shift
        self.heads, self.head_size = heads, width // heads
        self.layernorm_before = nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1)**2, heads))
        grid = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij"))
        grid = grid.flatten(1)
        apart = (grid[:, :, None] - grid[:, None, :]).permute(1, 2, 0) + window - 1
        self.register_buffer("relative_position_index", apart[..., 0] * (2 * window - 1) + apart[..., 1])
        self.output = nn.Linear(width, width)
        self.layernorm_after = nn.LayerNorm(width)
        self.intermediate = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def mask(self, dtype):
        regions = torch.zeros((1, self.side, self.side, 1), dtype=dtype)
        cuts = (slice(0, -self.window), slice(-self.window, -self.shift), slice(-self.shift, None))
        for i, rows in enumerate(cuts):
            for j, columns in enumerate(cuts):
                regions[:, rows, columns, :] = 3 * i + j
        regions = windows_of(regions, self.window).view(-1, self.window**2)
        apart = regions.unsqueeze(1) - regions.unsqueeze(2)
        return apart.masked_fill(apart != 0, -100.0).masked_fill(apart == 0, 0.0)

    def heads_of(self, x):
        return x.view(x.size()[:-1] + (self.heads, self.head_size)).permute(0, 2, 1, 3)

    def attend(self, x):
        query, key, value = (self.heads_of(layer(x)) for layer in (self.query, self.key, self.value))
        scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(self.head_size)
        area = self.window**2
        bias = self.relative_position_bias_table[self.relative_position_index.view(-1)]
        scores = scores + bias.view(area, area, -1).permute(2, 0, 1).contiguous().unsqueeze(0)
        if self.shift > 0:
            mask = self.mask(scores.dtype)
            count = mask.shape[0]
            scores = scores.view(x.shape[0] // count, count, self.heads, area, area)
            scores = (scores + mask.unsqueeze(1).unsqueeze(0)).view(-1, self.heads, area, area)
        context = torch.matmul(functional.softmax(scores, dim=-1), value).permute(0, 2, 1, 3).contiguous()
        return self.output(context.view(context.size()[:-2] + (-1,)))

    def forward(self, x):
        batch, length, channels = x.shape
        y = self.layernorm_before(x).view(batch, self.side, self.side, channels)
        if self.shift > 0:
            y = torch.roll(y, shifts=(-self.shift, -self.shift), dims=(1, 2))
        windows = windows_of(y, self.window).view(-1, self.window**2, channels)
        y = self.attend(windows).view(-1, self.window, self.window, channels)
        y = from_windows(y, self.window, self.side, self.side)
        if self.shift > 0:
            y = torch.roll(y, shifts=(self.shift, self.shift), dims=(1, 2))
        x = x + y.view(batch, length, channels)
        return x + self.down(functional.gelu(self.intermediate(self.layernorm_after(x))))


class PatchMerging(nn.Module):
    def __init__(self, width, side):
        super().__init__()
        self.side = side
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x):
        batch, _, channels = x.shape
        x = x.view(batch, self.side, self.side, channels)
        parts = [x[:, i::2, j::2, :] for j in (0, 1) for i in (0, 1)]
        x = torch.cat(parts, -1).view(batch, -1, 4 * channels)
        return self.reduction(self.norm(x))


class Swin(nn.Module):
    def __init__(self, image=32, width=12, classes=5):
        super().__init__()
        side = image // 4
        self.projection = nn.Conv2d(3, width, 4, 4)
        self.norm = nn.LayerNorm(width)
        self.first = nn.ModuleList([SwinLayer(width, 2, side, 4, shift) for shift in (0, 2)])
        self.merge = PatchMerging(width, side)
        self.second = nn.ModuleList([SwinLayer(2 * width, 4, side // 2, 2, shift) for shift in (0, 1)])
        self.layernorm = nn.LayerNorm(2 * width)
        self.classifier = nn.Linear(2 * width, classes)

    def forward(self, image):
        x = self.norm(self.projection(image).flatten(2).transpose(1, 2))
        for layer in self.first:
            x = layer(x)
        x = self.merge(x)
        for layer in self.second:
            x = layer(x)
        pooled = functional.adaptive_avg_pool1d(self.layernorm(x).transpose(1, 2), 1)
        return self.classifier(torch.flatten(pooled, 1))


class SegformerLayer(nn.Module):
    """Keys and values from a shorter sequence; a feed-forward network with a depthwise convolution."""

    def __init__(self, width, heads, reduction, inner):
        super().__init__()
        self.heads, self.head_size = heads, width // heads
        self.layer_norm_1 = nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.sr = nn.Conv2d(width, width, reduction, reduction) if reduction > 1 else nn.Identity()
        self.sr_norm = nn.LayerNorm(width) if reduction > 1 else nn.Identity()
        self.reduced = reduction > 1
        self.output = nn.Linear(width, width)
        self.layer_norm_2 = nn.LayerNorm(width)
        self.dense1 = nn.Linear(width, inner)
        self.dwconv = nn.Conv2d(inner, inner, 3, 1, 1, groups=inner)
        self.dense2 = nn.Linear(inner, width)

    def heads_of(self, x):
        return x.view(x.size()[:-1] + (self.heads, self.head_size)).permute(0, 2, 1, 3)

    def attend(self, x, height: int, width: int):
        query = self.heads_of(self.query(x))
        if self.reduced:
            batch, _, channels = x.shape
            x = x.permute(0, 2, 1).reshape(batch, channels, height, width)
            x = self.sr_norm(self.sr(x).reshape(batch, channels, -1).permute(0, 2, 1))
        key, value = self.heads_of(self.key(x)), self.heads_of(self.value(x))
        scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(self.head_size)
        context = torch.matmul(functional.softmax(scores, dim=-1), value).permute(0, 2, 1, 3).contiguous()
        return self.output(context.view(context.size()[:-2] + (-1,)))

    def forward(self, x, height: int, width: int):
        x = x + self.attend(self.layer_norm_1(x), height, width)
        y = self.dense1(self.layer_norm_2(x))
        batch, _, channels = y.shape
        y = self.dwconv(y.transpose(1, 2).view(batch, channels, height, width)).flatten(2).transpose(1, 2)
        return x + self.dense2(functional.gelu(y))


class Segformer(nn.Module):
    """Three stages of overlapping patches, and a decoder of linear layers."""

    def __init__(self, widths=(8, 12, 16), decoder=12, classes=4):
        super().__init__()
        before = (3, *widths[:-1])
        self.patches = nn.ModuleList([
            nn.Conv2d(a, b, 7 if i == 0 else 3, 4 if i == 0 else 2, 3 if i == 0 else 1)
            for i, (a, b) in enumerate(zip(before, widths))])
        self.patch_norms = nn.ModuleList([nn.LayerNorm(width) for width in widths])
        self.layers = nn.ModuleList([
            SegformerLayer(width, heads, reduction, 2 * width)
            for width, heads, reduction in zip(widths, (1, 2, 4), (4, 2, 1))])
        self.norms = nn.ModuleList([nn.LayerNorm(width) for width in widths])
        self.linear_c = nn.ModuleList([nn.Linear(width, decoder) for width in widths])
        self.linear_fuse = nn.Conv2d(len(widths) * decoder, decoder, 1, bias=False)
        self.batch_norm = nn.BatchNorm2d(decoder)
        self.classifier = nn.Conv2d(decoder, classes, 1)

    def forward(self, image):
        x, maps = image, []
        for patch, patch_norm, layer, norm in zip(self.patches, self.patch_norms, self.layers, self.norms):
            x = patch(x)
            batch, channels, height, width = x.shape
            x = norm(layer(patch_norm(x.flatten(2).transpose(1, 2)), height, width))
            x = x.reshape(batch, height, width, -1).permute(0, 3, 1, 2).contiguous()
            maps.append(x)
        target, decoded = maps[0].size()[2:], []
        for y, linear in zip(maps, self.linear_c):
            batch, _, height, width = y.shape
            y = linear(y.flatten(2).transpose(1, 2)).permute(0, 2, 1).reshape(batch, -1, height, width)
            decoded.append(functional.interpolate(y, size=target, mode="bilinear", align_corners=False))
        y = self.linear_fuse(torch.cat(decoded[::-1], dim=1))
        return self.classifier(functional.relu(self.batch_norm(y)))


class ConvNormAct(nn.Sequential):
    def __init__(self, inputs, outputs, kernel=1, stride=1, activation=None):
        super().__init__(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
                         nn.BatchNorm2d(outputs), activation or nn.ReLU(inplace=True))


class ViTWithUPerNet(nn.Module):
    """A pyramid made of a ViT's layers, pooled and fused from the top down; an auxiliary head."""

    def __init__(self, width=24, channels=16, classes=4):
        super().__init__()
        self.backbone = ViT(width=width, layers=3)
        del self.backbone.layernorm, self.backbone.classifier
        self.resize = nn.ModuleList([
            nn.Sequential(nn.ConvTranspose2d(width, width, 2, 2), nn.BatchNorm2d(width), nn.GELU()),
            nn.Identity(), nn.MaxPool2d(2, 2)])
        self.pools = nn.ModuleList([
            nn.Sequential(nn.AdaptiveAvgPool2d(scale), ConvNormAct(width, channels)) for scale in (1, 2)])
        self.bottleneck = ConvNormAct(width + 2 * channels, channels, 3)
        self.lateral = nn.ModuleList([ConvNormAct(width, channels) for _ in range(2)])
        self.smooth = nn.ModuleList([ConvNormAct(channels, channels, 3) for _ in range(2)])
        self.fuse = ConvNormAct(3 * channels, channels, 3)
        self.head = nn.Conv2d(channels, classes, 1)
        self.auxiliary = nn.Sequential(ConvNormAct(width, channels, 3), nn.Dropout2d(0.1),
                                       nn.Conv2d(channels, classes, 1))

    def forward(self, image) -> Dict[str, torch.Tensor]:
        maps = [resize(x) for resize, x in zip(self.resize, self.backbone.maps(image))]
        top = [maps[-1]]
        for pool in self.pools:
            top.append(functional.interpolate(pool(maps[-1]), size=maps[-1].shape[2:], mode="bilinear"))
        levels = [lateral(x) for lateral, x in zip(self.lateral, maps)]
        levels.append(self.bottleneck(torch.cat(top, dim=1)))
        for i in range(2, 0, -1):
            above = functional.interpolate(levels[i], size=levels[i - 1].shape[2:], mode="bilinear")
            levels[i - 1] = levels[i - 1] + above
        fused = [smooth(x) for smooth, x in zip(self.smooth, levels)] + [levels[2]]
        fused = [functional.interpolate(x, size=fused[0].shape[2:], mode="bilinear") for x in fused]
        y = self.head(self.fuse(torch.cat(fused, dim=1)))
        return {"out": functional.interpolate(y, size=image.shape[2:], mode="bilinear"),
                "aux": self.auxiliary(maps[1])}


class C2f(nn.Module):
    """Half of the channels go through bottlenecks one after another; every result is kept."""

    def __init__(self, inputs, outputs, count, shortcut):
        super().__init__()
        half = outputs // 2
        self.cv1 = ConvNormAct(inputs, 2 * half, activation=nn.SiLU())
        self.cv2 = ConvNormAct((2 + count) * half, outputs, activation=nn.SiLU())
        self.m = nn.ModuleList([
            nn.Sequential(ConvNormAct(half, half, 3, activation=nn.SiLU()),
                          ConvNormAct(half, half, 3, activation=nn.SiLU())) for _ in range(count)])
        self.shortcut = shortcut

    def forward(self, x):
        parts = list(self.cv1(x).chunk(2, 1))
        for block in self.m:
            y = block(parts[-1])
            parts.append(parts[-1] + y if self.shortcut else y)
        return self.cv2(torch.cat(parts, 1))


class PoolingPyramid(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.cv1 = ConvNormAct(width, width // 2, activation=nn.SiLU())
        self.cv2 = ConvNormAct(2 * width, width, activation=nn.SiLU())
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x):
        parts = [self.cv1(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        return self.cv2(torch.cat(parts, 1))


class Detector(nn.Module):
    """Backbone, a path down and a path up, and heads for boxes and classes on two scales."""

    def __init__(self, classes=3, bins=4):
        super().__init__()
        silu = nn.SiLU()
        self.stem = ConvNormAct(3, 8, 3, 2, silu)
        self.down1 = nn.Sequential(ConvNormAct(8, 12, 3, 2, silu), C2f(12, 12, 1, True))
        self.down2 = nn.Sequential(ConvNormAct(12, 16, 3, 2, silu), C2f(16, 16, 2, True), PoolingPyramid(16))
        self.up = nn.Upsample(scale_factor=2.0, mode="nearest")
        self.neck1 = C2f(28, 12, 1, False)
        self.again = ConvNormAct(12, 12, 3, 2, silu)
        self.neck2 = C2f(28, 16, 1, False)
        self.boxes = nn.ModuleList([nn.Sequential(ConvNormAct(width, 8, 3, 1, silu), nn.Conv2d(8, 4 * bins, 1))
                                    for width in (12, 16)])
        self.classes = nn.ModuleList([nn.Sequential(ConvNormAct(width, 8, 3, 1, silu), nn.Conv2d(8, classes, 1))
                                      for width in (12, 16)])

    def forward(self, image):
        low = self.down1(self.stem(image))
        high = self.down2(low)
        low = self.neck1(torch.cat([self.up(high), low], 1))
        high = self.neck2(torch.cat([self.again(low), high], 1))
        scales = [torch.cat([box(x), label(x)], 1)
                  for box, label, x in zip(self.boxes, self.classes, (low, high))]
        return torch.cat([x.view(x.shape[0], x.shape[1], -1) for x in scales], 2)


class DoubleConv(nn.Sequential):
    def __init__(self, inputs, outputs):
        super().__init__(ConvNormAct(inputs, outputs, 3), ConvNormAct(outputs, outputs, 3))


class UNet(nn.Module):
    """Down by pooling, up by transposed convolutions, what was on the way down beside it."""

    def __init__(self, widths=(6, 10, 14), classes=3):
        super().__init__()
        self.down = nn.ModuleList([DoubleConv(a, b) for a, b in zip((3, *widths), widths)])
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ModuleList([nn.ConvTranspose2d(b, a, 2, 2) for a, b in zip(widths, widths[1:])])
        self.merge = nn.ModuleList([DoubleConv(2 * a, a) for a in widths[:-1]])
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x):
        kept = []
        for i, block in enumerate(self.down):
            x = block(x if i == 0 else self.pool(x))
            kept.append(x)
        for i in range(len(self.up) - 1, -1, -1):
            x = self.up[i](x)
            beside = kept[i]
            high, wide = beside.size()[2] - x.size()[2], beside.size()[3] - x.size()[3]
            x = functional.pad(x, [wide // 2, wide - wide // 2, high // 2, high - high // 2])
            x = self.merge[i](torch.cat([beside, x], dim=1))
        return self.head(x)


def familiar_networks():
    """name -> (network, input as text, ways)"""
    return {
        "bert": (Bert(), "2,7:int64:0-29", ("traced",)),
        "vit_layers": (ViT(), "2,3,16,16", ("traced", "training")),
        "swin_layers": (Swin(), "2,3,32,32", ("traced",)),
        "segformer": (Segformer(), "2,3,32,32", ("traced",)),
        "upernet": (ViTWithUPerNet(), "2,3,16,16", ("traced",)),
        "detector": (Detector(), "2,3,32,32", ("traced", "scripted", "training")),
        "unet": (UNet(), "2,3,20,20", ("traced", "training")),
    }
