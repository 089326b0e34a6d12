// XSalsa20: Salsa20 with a nonce of 24 bytes, long enough to be drawn at random. https://cr.yp.to/snuffle/xsalsa-20081128.pdf
//
// Eight blocks are made at once, the same word of each in one vector.

using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Leither.Libp2p.PrivateNetworks;

/// <summary>One direction's key stream. One caller at a time.</summary>
internal sealed class XSalsa20
{
    public const int KeyLength = 32;
    public const int NonceLength = 24;

    private const int Words = 16;
    private const int Lanes = 8;
    private const int Rounds = 20;
    private const int StreamLength = Lanes * Words * sizeof(uint);

    private readonly uint[] _state = new uint[Words];
    private readonly byte[] _stream = new byte[StreamLength];
    private ulong _block;
    private int _used = StreamLength;

    public XSalsa20(ReadOnlySpan<byte> key, ReadOnlySpan<byte> nonce)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(key.Length, KeyLength);
        ArgumentOutOfRangeException.ThrowIfNotEqual(nonce.Length, NonceLength);
        Span<byte> subkey = stackalloc byte[KeyLength];
        DeriveSubkey(key, nonce[..16], subkey);
        Load(_state, subkey, nonce[16..]);
        subkey.Clear();
    }

    private XSalsa20(ReadOnlySpan<byte> key, ulong nonce)
    {
        Span<byte> bytes = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64BigEndian(bytes, nonce);
        Load(_state, key, bytes);
    }

    /// <summary>Plain Salsa20, with a nonce of 8 bytes, highest first.</summary>
    public static XSalsa20 Salsa20(ReadOnlySpan<byte> key, ulong nonce) => new(key, nonce);

    /// <summary>Encrypts or decrypts what follows in the stream. Both may be the same bytes.</summary>
    public void Transform(ReadOnlySpan<byte> source, Span<byte> destination)
    {
        while (!source.IsEmpty)
        {
            if (_used == StreamLength)
            {
                NextBlocks();
            }

            int count = Math.Min(source.Length, StreamLength - _used);
            Xor(source[..count], _stream.AsSpan(_used, count), destination);
            _used += count;
            source = source[count..];
            destination = destination[count..];
        }
    }

    private static void Xor(ReadOnlySpan<byte> source, ReadOnlySpan<byte> stream, Span<byte> destination)
    {
        int i = 0;
        for (; i <= source.Length - Vector<byte>.Count; i += Vector<byte>.Count)
        {
            (new Vector<byte>(source[i..]) ^ new Vector<byte>(stream[i..])).CopyTo(destination[i..]);
        }

        for (; i < source.Length; i++)
        {
            destination[i] = (byte)(source[i] ^ stream[i]);
        }
    }

    /// <summary>A state: the constants on the diagonal, the key around it, the nonce and a counter of zero between.</summary>
    private static void Load(Span<uint> state, ReadOnlySpan<byte> key, ReadOnlySpan<byte> nonce)
    {
        state.Clear();
        ReadOnlySpan<byte> constants = "expand 32-byte k"u8;
        for (int i = 0; i < 4; i++)
        {
            state[5 * i] = BinaryPrimitives.ReadUInt32LittleEndian(constants[(4 * i)..]);
            state[1 + i] = BinaryPrimitives.ReadUInt32LittleEndian(key[(4 * i)..]);
            state[11 + i] = BinaryPrimitives.ReadUInt32LittleEndian(key[(16 + 4 * i)..]);
        }

        for (int i = 0; i < nonce.Length / 4; i++)
        {
            state[6 + i] = BinaryPrimitives.ReadUInt32LittleEndian(nonce[(4 * i)..]);
        }
    }

    /// <summary>HSalsa20.</summary>
    private static void DeriveSubkey(ReadOnlySpan<byte> key, ReadOnlySpan<byte> nonce, Span<byte> subkey)
    {
        Span<uint> state = stackalloc uint[Words];
        Load(state, key, nonce);
        Span<Vector256<uint>> words = stackalloc Vector256<uint>[Words];
        for (int i = 0; i < Words; i++)
        {
            words[i] = Vector256.Create(state[i]);
        }

        Mix(words);
        ReadOnlySpan<byte> taken = [0, 5, 10, 15, 6, 7, 8, 9];
        for (int i = 0; i < taken.Length; i++)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(subkey[(4 * i)..], words[taken[i]][0]);
        }
    }

    private static void Mix(Span<Vector256<uint>> words)
    {
        Vector256<uint> x0 = words[0], x1 = words[1], x2 = words[2], x3 = words[3], x4 = words[4], x5 = words[5], x6 = words[6], x7 = words[7];
        Vector256<uint> x8 = words[8], x9 = words[9], x10 = words[10], x11 = words[11], x12 = words[12], x13 = words[13], x14 = words[14], x15 = words[15];
        for (int i = 0; i < Rounds; i += 2)
        {
            QuarterRound(ref x0, ref x4, ref x8, ref x12);
            QuarterRound(ref x5, ref x9, ref x13, ref x1);
            QuarterRound(ref x10, ref x14, ref x2, ref x6);
            QuarterRound(ref x15, ref x3, ref x7, ref x11);
            QuarterRound(ref x0, ref x1, ref x2, ref x3);
            QuarterRound(ref x5, ref x6, ref x7, ref x4);
            QuarterRound(ref x10, ref x11, ref x8, ref x9);
            QuarterRound(ref x15, ref x12, ref x13, ref x14);
        }

        words[0] = x0;
        words[1] = x1;
        words[2] = x2;
        words[3] = x3;
        words[4] = x4;
        words[5] = x5;
        words[6] = x6;
        words[7] = x7;
        words[8] = x8;
        words[9] = x9;
        words[10] = x10;
        words[11] = x11;
        words[12] = x12;
        words[13] = x13;
        words[14] = x14;
        words[15] = x15;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void QuarterRound(ref Vector256<uint> a, ref Vector256<uint> b, ref Vector256<uint> c, ref Vector256<uint> d)
    {
        b ^= Rotate(a + d, 7);
        c ^= Rotate(b + a, 9);
        d ^= Rotate(c + b, 13);
        a ^= Rotate(d + c, 18);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Rotate(Vector256<uint> value, int count) => (value << count) | (value >>> (32 - count));

    private void NextBlocks()
    {
        Span<Vector256<uint>> words = stackalloc Vector256<uint>[Words];
        for (int i = 0; i < Words; i++)
        {
            words[i] = Vector256.Create(_state[i]);
        }

        Span<uint> low = stackalloc uint[Lanes];
        Span<uint> high = stackalloc uint[Lanes];
        for (int lane = 0; lane < Lanes; lane++)
        {
            ulong block = _block + (ulong)lane;
            low[lane] = (uint)block;
            high[lane] = (uint)(block >> 32);
        }

        Vector256<uint> counterLow = words[8] = Vector256.Create<uint>(low);
        Vector256<uint> counterHigh = words[9] = Vector256.Create<uint>(high);
        Mix(words);
        for (int i = 0; i < Words; i++)
        {
            Vector256<uint> word = words[i] + (i switch { 8 => counterLow, 9 => counterHigh, _ => Vector256.Create(_state[i]) });
            for (int lane = 0; lane < Lanes; lane++)
            {
                BinaryPrimitives.WriteUInt32LittleEndian(_stream.AsSpan(4 * (lane * Words + i)), word[lane]);
            }
        }

        _block += Lanes;
        _used = 0;
    }
}
