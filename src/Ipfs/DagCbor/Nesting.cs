using System.Runtime.CompilerServices;

namespace Leither.Ipfs.DagCbor;

/// <summary>
/// The arrays and maps that reading or writing is inside of, and what is left of each. All containers of DAG-CBOR say at their start how much
/// they hold, so a container ends by itself with its last item.
/// </summary>
internal struct Nesting
{
    /// <summary>How deep arrays and maps may lie in each other.</summary>
    public const int MaxDepth = 256;

    // Blocks are rarely deeper; what is takes an array.
    private const int NearDepth = 8;

    private Frame _current;
    private NearFrames _near;
    private Frame[]? _far;
    private int _depth;

    /// <summary>Outside all containers stands exactly one value.</summary>
    public static Nesting Root => new() { _current = { Remaining = 1, KeyStart = -1 } };

    public readonly int Depth => _depth;

    /// <summary>How many items are left where we are; a map's keys and values count one each.</summary>
    public readonly int Remaining => _current.Remaining;

    public readonly bool IsMap => _current.KeyStart >= 0;

    public readonly bool IsKeyNext => _current.KeyStart >= 0 && (_current.Remaining & 1) == 0;

    public readonly bool HasKey => _current.KeyLength >= 0;

    public readonly int KeyStart => _current.KeyStart;

    public readonly int KeyLength => _current.KeyLength;

    /// <summary>One item where we are is taken.</summary>
    public void Take() => _current.Remaining--;

    public void SetKey(int start, int length)
    {
        _current.KeyStart = start;
        _current.KeyLength = length;
    }

    /// <summary>A container begins; false if it would lie too deep.</summary>
    public bool TryEnter(int items, bool isMap)
    {
        if (_depth == MaxDepth)
        {
            return false;
        }

        if (_depth < NearDepth)
        {
            _near[_depth] = _current;
        }
        else
        {
            int far = _depth - NearDepth;
            if (_far == null || far == _far.Length)
            {
                Array.Resize(ref _far, Math.Max(NearDepth, far * 2));
            }

            _far[far] = _current;
        }

        _depth++;
        _current = new Frame { Remaining = items, KeyStart = isMap ? 0 : -1, KeyLength = -1 };
        return true;
    }

    /// <summary>Leaves every container whose last item has been taken.</summary>
    public void LeaveFinished()
    {
        while (_current.Remaining == 0 && _depth > 0)
        {
            _depth--;
            _current = _depth < NearDepth ? _near[_depth] : _far![_depth - NearDepth];
        }
    }

    private struct Frame
    {
        public int Remaining;

        /// <summary>Where the last key stands; −1 in an array.</summary>
        public int KeyStart;

        /// <summary>−1 before the first key.</summary>
        public int KeyLength;
    }

    [InlineArray(NearDepth)]
    private struct NearFrames
    {
        private Frame _first;
    }
}
